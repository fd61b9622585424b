"""A sweep over slide size, tissue, number of slides and threads: one benchmark each, in a process
of its own, on slides that are drawn for it."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_ai.bench.mosaic import tissue_blocks, write_mosaic
from wsi_ai.bench.processes import cost_of
from wsi_ai.bench.report import Bench, load
from wsi_ai.core.environment import threads
from wsi_ai.core.wording import counted
from wsi_ai.errors import InputError, OutputError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A slide to be drawn."""

    side_px: int
    tissue: float
    seed: int = 1

    def path(self, folder: Path) -> Path:
        return folder / f"slide-{self.side_px}-{self.tissue:g}-{self.seed}.svs"


@dataclass(frozen=True, slots=True)
class Point:
    """One result of the sweep."""

    slides: tuple[Drawn, ...]
    threads: int
    runs: int = 1
    """Whole runs: none of slides that would take too long."""

    @property
    def name(self) -> str:
        first, count = self.slides[0], len(self.slides)
        what = f"{first.side_px}px-{first.tissue:g}"
        return f"{what}-{counted(count, 'slide')}-{counted(self.threads, 'thread')}".replace(
            " ", ""
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """Each list goes over one property; the others stay at their first value."""

    sizes_px: tuple[int, ...]
    tissue: tuple[float, ...]
    slides: tuple[int, ...]
    threads: tuple[int, ...]
    whole_up_to_px: int

    def __post_init__(self) -> None:
        if not (self.sizes_px and self.tissue):
            raise ValueError("a sweep has one size and one share of tissue or more")
        if min(*self.slides, *self.threads, 1) < 1 or max(*self.threads, 1) > threads():
            raise ValueError(f"there is 1 slide or more, and 1 to {threads()} threads")

    def points(self) -> list[Point]:
        """The largest slides last."""
        first, most = Drawn(self.sizes_px[0], self.tissue[0]), threads()
        found = [Point((first,), most)]
        found += [Point((first,), count) for count in self.threads]
        found += [Point(_several(first, count), most) for count in self.slides]
        found += [Point((replace(first, tissue=share),), most) for share in self.tissue]
        for side in sorted(self.sizes_px):
            runs = int(side <= self.whole_up_to_px or side == first.side_px)
            found.append(Point((replace(first, side_px=side),), most, runs))
        return list(dict.fromkeys(found))


def _several(first: Drawn, count: int) -> tuple[Drawn, ...]:
    return tuple(replace(first, seed=seed) for seed in range(1, count + 1))


def run_sweep(sweep: Sweep, more: Sequence[str], folder: Path, say: Say) -> list[Bench]:
    """The results, each as JSON in ``folder``.  What is there already is not measured again.

    ``more`` are further words of ``bench run``.  Slides lie in ``folder`` only while a point that
    is still to be measured wants them.  Raises OutputError and InputError.
    """
    points = sweep.points()
    todo = [point for point in points if not _result(folder, point).exists()]
    for turn, point in enumerate(todo):
        say(f"{turn + 1} of {len(todo)}: {point.name}")
        _draw(point.slides, folder)
        _measure(point, more, folder)
        later = {slide for one in todo[turn + 1 :] for slide in one.slides}
        for slide in set(point.slides) - later:
            slide.path(folder).unlink(missing_ok=True)
    return [load(_result(folder, point)) for point in points]


def _result(folder: Path, point: Point) -> Path:
    return folder / f"{point.name}.json"


def _draw(slides: Sequence[Drawn], folder: Path) -> None:
    for slide in slides:
        path = slide.path(folder)
        try:
            if not path.exists():
                blocks = tissue_blocks(slide.seed, threads())
                write_mosaic(path, slide.side_px, slide.tissue, blocks, threads())
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def _measure(point: Point, more: Sequence[str], folder: Path) -> None:
    slides = [str(slide.path(folder)) for slide in point.slides]
    words = [sys.executable, "-m", "wsi_ai", "bench", "run", *slides, *more]
    words += ["--runs", str(point.runs), "--json", str(_result(folder, point))]
    with processors(point.threads):
        status = cost_of(words).exit_status
    if status:
        raise InputError(f"{point.name} was not measured: bench run ended with status {status}")


@contextmanager
def processors(count: int) -> Iterator[None]:
    """This process, and those that it starts meanwhile, may use that number of processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
