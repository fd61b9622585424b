"""How far a run has come: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from wsi_ai.contracts import Watcher

_EVERY_S = 10.0


class SlideProgress(Watcher, Protocol):
    """A Watcher that is also told when a slide is through."""

    def finished(self) -> None: ...


@contextmanager
def progress_for(stream: TextIO, slides: int) -> Iterator[SlideProgress]:
    if not stream.isatty():
        yield Lines(stream)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles"),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(file=stream),
        transient=True,
        redirect_stdout=True,
    )
    with bar:
        yield Bar(bar, slides)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f} tiles/s" if speed else "- tiles/s")


class Bar:
    """One bar, for the slide at hand."""

    def __init__(self, bar: Progress, slides: int) -> None:
        self._bar, self._slides, self._number = bar, slides, 0
        self._task = bar.add_task("", total=None, visible=False)

    def started(self, slide: Path) -> None:
        self._number += 1
        text = f"{self._number}/{self._slides} {slide.name}: looking"
        self._bar.reset(self._task, total=None, description=text, visible=True)

    def planned(self, tiles: int, done: int) -> None:
        text = self._bar.tasks[0].description.replace(": looking", "")
        self._bar.reset(self._task, total=tiles, completed=done, description=text)

    def inferred(self, done: int) -> None:
        self._bar.update(self._task, completed=done)

    def finished(self) -> None:
        self._bar.update(self._task, visible=False)


class Lines:
    """A line now and then, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._slide, self._tiles, self._resumed = "", 0, 0
        self._start = self._last = 0.0

    def started(self, slide: Path) -> None:
        self._slide = slide.name

    def planned(self, tiles: int, done: int) -> None:
        self._tiles, self._resumed = tiles, done
        self._start = self._last = time.monotonic()
        going_on = f", {done} done by an earlier run" if done else ""
        self._say(f"{tiles} tiles{going_on}")

    def inferred(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        rate = (done - self._resumed) / (now - self._start)
        left_s = round((self._tiles - done) / rate) if rate > 0 else 0
        self._say(
            f"{done}/{self._tiles} tiles, {rate:.0f} tiles/s, {left_s // 60}:{left_s % 60:02d} left"
        )

    def finished(self) -> None: ...

    def _say(self, text: str) -> None:
        print(f"{self._slide}: {text}", file=self._stream, flush=True)
