"""How far a run has come: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TextIO

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

from wsi_ai.cli.output import say
from wsi_ai.core.contracts import Watcher
from wsi_ai.core.printable import printable

_EVERY_S = 10.0


@contextmanager
def progress_for(stream: TextIO, unit: str, of: int = 1) -> Iterator[Watcher]:
    if not stream.isatty():
        yield Lines(stream, unit, of)
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(file=stream),
        transient=True,
        redirect_stdout=True,
    )
    with bar:
        yield Bar(bar, of)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f} {self._unit}/s" if speed else "")


class Bar:
    """One bar, for the slide at hand on one device."""

    def __init__(self, bar: Progress, of: int, numbers: Iterator[int] | None = None) -> None:
        self._bar, self._of, self._numbers, self._text = bar, of, numbers or count(1), ""
        self._task = bar.add_task("", total=None, visible=False)

    def started(self, slide: Path) -> None:
        self._text = f"{next(self._numbers)}/{self._of} {printable(slide.name)}"
        looking = f"{self._text}: looking"
        self._bar.reset(self._task, total=None, description=looking, visible=True)

    def planned(self, tiles: int, done: int) -> None:
        self._bar.reset(self._task, total=tiles, completed=done, description=self._text)

    def passed(self, done: int) -> None:
        self._bar.update(self._task, completed=done)

    def beside(self) -> "Bar":
        return Bar(self._bar, self._of, self._numbers)


class Lines:
    """A line now and then, for logs: so it numbers the slides and does not name them."""

    def __init__(
        self, stream: TextIO, unit: str, of: int, numbers: Iterator[int] | None = None
    ) -> None:
        self._stream, self._unit, self._of = stream, unit, of
        self._numbers = numbers or count(1)
        self._number, self._total, self._resumed = 0, 0, 0
        self._start = self._last = 0.0

    def started(self, slide: Path) -> None:
        self._number = next(self._numbers)

    def planned(self, tiles: int, done: int) -> None:
        self._total, self._resumed = tiles, done
        self._start = self._last = time.monotonic()
        going_on = f", {done} done by an earlier run" if done else ""
        self._say(f"{tiles} {self._unit}{going_on}")

    def passed(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        rate = (done - self._resumed) / (now - self._start)
        left_s = round((self._total - done) / rate) if rate > 0 else 0
        self._say(
            f"{done}/{self._total} {self._unit}, {rate:.0f} {self._unit}/s,"
            f" {left_s // 60}:{left_s % 60:02d} left"
        )

    def beside(self) -> "Lines":
        return Lines(self._stream, self._unit, self._of, self._numbers)

    def _say(self, text: str) -> None:
        say(f"slide {self._number}/{self._of}: {text}", self._stream)
