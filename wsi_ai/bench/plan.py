"""How many machines a load wants: what slides cost, from runs, and a queue that is simulated."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wsi_ai.bench import hours
from wsi_ai.bench.region import DAY_S, Found, Region, Stages, Trust, simulate
from wsi_ai.bench.report import READ, Bench
from wsi_ai.errors import InputError

DAYS, SEEDS = 3, (20, 21, 22)
_MOST_MACHINES = 4096
_HOURS: Mapping[str, Callable[[], list[Trust]]] = {
    "region": hours.trusts,
    "day": hours.one_lab,
    "even": hours.evenly,
}


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in a day, and what is promised."""

    slides_a_day: int
    minutes: float
    share: float
    urgent: float
    hours: str

    def __post_init__(self) -> None:
        sound = self.slides_a_day >= 1 and self.minutes > 0 and 0 < self.share < 1
        if not sound or self.hours not in _HOURS:
            raise ValueError("slides come, in known hours, and some share of them is to be in time")

    @property
    def region(self) -> Region:
        return Region(_HOURS[self.hours](), self.slides_a_day, self.urgent)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one measured slide cost, and what there was of it."""

    gigapixels: float
    tissue_share: float
    tiles: float
    file_gb: float
    looking_s: float
    inference_s: float
    writing_s: float

    @classmethod
    def of(cls, bench: Bench) -> "Cost":
        """Raises InputError."""
        work = bench.work
        read, forward = bench.stage(READ), bench.forward
        looking = [bench.stage(name) for name in ("open", "hash", "look", "plan")]
        writing = bench.stage("results")
        if read is None or forward is None or writing is None:
            raise InputError(
                "a result has no reading, inference or whole run; run it with --runs 1"
            )
        return cls(
            work["width_px"] * work["height_px"] / 1e9,
            work["tissue_share"],
            work["tiles"],
            work["bytes"] / 1e9,
            sum(stage.slide_s for stage in looking if stage is not None),
            max(read.slide_s, forward.slide_s),
            writing.slide_s,
        )


@dataclass(frozen=True, slots=True)
class Law:
    """Seconds = ``start_s`` + ``slope_s`` for each unit."""

    name: str
    unit: str
    start_s: float
    slope_s: float
    worst: float
    """The measured slide that it misses most, as a share of that slide's seconds; NaN where there
    was only one."""

    def at(self, amount: float) -> float:
        return self.start_s + self.slope_s * amount


@dataclass(frozen=True, slots=True)
class Laws:
    looking: Law
    inference: Law
    writing: Law
    tiles: Law
    """Tiles a gigapixel of tissue."""
    has_sizes: bool
    """Slides of clearly different sizes were measured: a line through one size says nothing of
    another."""

    def stages(self, slides: Sequence[tuple[int, float]]) -> Stages:
        """Of slides by their side in pixels and their share of tissue."""
        giga = [side**2 / 1e9 for side, _ in slides]
        tiles = [self.tiles.at(g * s) for g, (_, s) in zip(giga, slides, strict=True)]
        return Stages(
            tuple(self.looking.at(g) for g in giga),
            tuple(self.inference.at(t) for t in tiles),
            tuple(self.writing.at(t) for t in tiles),
        )


def fit_laws(costs: Sequence[Cost]) -> Laws:
    """A line through what was measured; through nought where there was one size."""
    tiles = [cost.tiles for cost in costs]
    giga = [cost.gigapixels for cost in costs]
    tissue = [cost.gigapixels * cost.tissue_share for cost in costs]
    return Laws(
        _law("looking", "gigapixel", giga, [cost.looking_s for cost in costs]),
        _law("inference", "tile", tiles, [cost.inference_s for cost in costs]),
        _law("writing", "tile", tiles, [cost.writing_s for cost in costs]),
        _through_nought("tiles", "gigapixel of tissue", tissue, tiles),
        has_sizes=max(giga) > 2 * min(giga),
    )


def _law(name: str, unit: str, amounts: Sequence[float], seconds: Sequence[float]) -> Law:
    """Least squares in shares of what was measured, so that small slides count as much; neither
    part below nought."""
    x, y = np.array(amounts), np.array(seconds)
    if np.ptp(x) <= 0.01 * x.max():
        return _through_nought(name, unit, amounts, seconds)
    start, slope = np.linalg.lstsq(np.stack([1 / y, x / y], 1), np.ones_like(y), rcond=None)[0]
    if slope < 0:
        return _made(name, unit, (float(np.mean(y)), 0.0), x, y)
    if start < 0:
        return _through_nought(name, unit, amounts, seconds)
    return _made(name, unit, (float(start), float(slope)), x, y)


def _through_nought(
    name: str, unit: str, amounts: Sequence[float], seconds: Sequence[float]
) -> Law:
    x, y = np.array(amounts), np.array(seconds)
    each = x / y
    slope = float(each.sum() / (each**2).sum()) if each.any() else 0.0
    return _made(name, unit, (0.0, slope), x, y)


def _made(
    name: str,
    unit: str,
    line: tuple[float, float],
    x: np.ndarray[tuple[int], np.dtype[np.float64]],
    y: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> Law:
    missed = np.abs(line[0] + line[1] * x - y) / y
    return Law(name, unit, *line, float(missed.max()) if len(x) > 1 else math.nan)


def threads_exponent(benches: Sequence[Bench]) -> float | None:
    """p, where inference alone goes as threads to the power of p; ``None`` where all runs had as
    many threads."""
    found = [
        (math.log(b.settings["threads"]), math.log(b.forward.amount / b.forward.own.median_s))
        for b in benches
        if b.forward is not None
    ]
    x, y = np.array(found).T
    return None if not np.ptp(x) else float(np.polyfit(x, y, 1)[0])


@dataclass(frozen=True, slots=True)
class Fleet:
    """The least number of machines that keeps the promise, and how it was there."""

    machines: int
    by_division: int
    """What slides times seconds alone would say."""
    late: float
    """Share of slides that came late, in the worst of the simulated spells."""
    found: Found


def share_in_time(load: Load, stages: Stages, machines: int, seed: int) -> tuple[float, Found]:
    """Of the urgent ones or of the others, whichever has the smaller share."""
    found = simulate(load.region, stages, machines, DAYS, seed, load.minutes)
    return min(found.urgent.in_time, found.others.in_time), found


def fewest_machines(load: Load, stages: Stages) -> Fleet | None:
    """In the worst of several simulated spells; ``None`` where no number is enough, as where one
    slide alone takes longer than that."""
    mean_s = float(np.mean(stages.busy_s()))
    least = max(1, math.ceil(load.slides_a_day * mean_s / DAY_S))

    def worst(machines: int) -> tuple[float, Found]:
        spells = (share_in_time(load, stages, machines, seed) for seed in SEEDS)
        return min(spells, key=lambda spell: spell[0])

    high = least
    while worst(high)[0] < load.share:
        if high > _MOST_MACHINES:
            return None
        high *= 2
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if worst(middle)[0] >= load.share else (middle + 1, high)
    share, found = worst(high)
    return Fleet(high, least, 1 - share, found)
