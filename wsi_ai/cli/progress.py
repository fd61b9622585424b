"""How far a run has come: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TextIO

from wsi_ai.cli.output import say
from wsi_ai.core.contracts import Watcher

_EVERY_S = 10.0


@contextmanager
def progress_for(stream: TextIO, unit: str, of: int = 1) -> Iterator[Watcher]:
    if not stream.isatty():
        yield Lines(stream, unit, of)
        return
    from wsi_ai.cli.progress_bar import bar_on

    with bar_on(stream, unit, of) as bar:
        yield bar


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
