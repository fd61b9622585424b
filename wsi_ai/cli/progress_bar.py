"""A bar on a terminal, by Rich; elsewhere nothing of it is loaded."""

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

from wsi_ai.core.printable import printable


@contextmanager
def bar_on(terminal: TextIO, unit: str, of: int) -> "Iterator[Bar]":
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(file=terminal),
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
