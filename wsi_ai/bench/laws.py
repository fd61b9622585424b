"""What slides cost, by their size, tissue and number and by threads: lines fitted to results."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.bench.region import Stages
from wsi_ai.bench.report import DECODE, READ, Bench, Stage, setting_of
from wsi_ai.core.wording import counted
from wsi_ai.errors import InputError

Floats = NDArray[np.float64]
_SAME_TISSUE = 0.03


@dataclass(frozen=True, slots=True)
class Cost:
    """What one measured slide cost, and what there was of it."""

    gigapixels: float
    tissue_share: float
    tiles: float
    file_gb: float
    looking_s: float
    inference_s: float
    writing_s: float | None
    """``None`` where there was no whole run."""

    @classmethod
    def of(cls, bench: Bench) -> "Cost":
        """Raises InputError."""
        work = bench.work
        read, forward = bench.stage(READ), bench.forward
        looking = [bench.stage(name) for name in ("open", "hash", "look", "plan")]
        writing = bench.stage("results")
        if read is None or forward is None:
            raise InputError("a result has no reading or no inference")
        return cls(
            gigapixels_of(bench),
            work["tissue_share"],
            work["tiles"],
            work["bytes"] / 1e9,
            sum(stage.slide_s for stage in looking if stage is not None),
            max(read.slide_s, forward.slide_s),
            None if writing is None else writing.slide_s,
        )


def gigapixels_of(bench: Bench) -> float:
    return float(bench.work["width_px"] * bench.work["height_px"] / 1e9)


@dataclass(frozen=True, slots=True)
class Law:
    """What ``name`` takes = ``start`` + ``slope`` for each unit."""

    name: str
    unit: str
    start: float
    slope: float
    worst: float
    """The measured slide that it misses most, as a share of what that took; NaN where there was
    only one."""
    of: str = "s"

    def at(self, amount: float) -> float:
        return self.start + self.slope * amount

    def __str__(self) -> str:
        slope = f"{self.slope:.3g} {self.of}".rstrip()
        start = f"{self.start:.3g} {self.of} + " if self.of else ""
        return f"{self.name}: {start}{slope} a {self.unit}{missed(self.worst)}"


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The rate of ``name`` goes as threads to that power: 1 is perfect, 0 is no gain."""

    name: str
    power: float
    worst: float

    def __str__(self) -> str:
        return f"{self.name}: goes as threads to the power of {self.power:.2f}{missed(self.worst)}"


def missed(worst: float) -> str:
    return "; one only" if math.isnan(worst) else f"; misses by {worst:.0%} at most"


@dataclass(frozen=True, slots=True)
class Laws:
    looking: Law
    inference: Law
    writing: Law | None
    """``None`` where no slide had a whole run."""
    tiles: Law
    """Tiles a gigapixel of tissue."""
    has_sizes: bool
    """Slides of clearly different sizes were measured: a line through one size says nothing of
    another."""

    def stages(self, slides: Sequence[tuple[int, float]]) -> Stages:
        """Of slides by their side in pixels and their share of tissue.  Raises InputError."""
        if self.writing is None:
            raise InputError("no result has a whole run; run one with --runs 1 or more")
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
    written = [cost for cost in costs if cost.writing_s is not None]
    writing = [cost.writing_s or 0.0 for cost in written]
    return Laws(
        _law("looking", "gigapixel", giga, [cost.looking_s for cost in costs]),
        _law("inference", "tile", tiles, [cost.inference_s for cost in costs]),
        _law("writing", "tile", [cost.tiles for cost in written], writing) if written else None,
        _through_nought("tiles", "gigapixel of tissue", tissue, tiles, ""),
        has_sizes=max(giga) > 2 * min(giga),
    )


def memory_law(benches: Sequence[Bench]) -> Law | None:
    """The peak of runs of one slide each; ``None`` where there were none."""
    found = [
        (gigapixels_of(bench), one.peak_mib)
        for bench in benches
        for one in bench.processes
        if one.slides == 1
    ]
    if not found:
        return None
    giga, peaks = zip(*found, strict=True)
    return _law("memory of one slide", "gigapixel", giga, peaks, "MiB")


def slides_laws(benches: Sequence[Bench]) -> list[Law]:
    """Time and memory of runs of several slides of one size; none where no run had several."""
    several = next((b for b in benches if b.work.get("slides", 1) > 1), None)
    if several is None:
        return []
    alike = [bench for bench in benches if _is_like(bench, several)]
    runs = [one for bench in alike for one in bench.processes]
    counts = [one.slides for one in runs]
    if len(set(counts)) < 2:
        return []
    return [
        _law("several slides in one run", "slide", counts, [one.wall_s for one in runs]),
        _law("their memory", "slide", counts, [one.peak_mib for one in runs], "MiB"),
    ]


def _is_like(one: Bench, other: Bench) -> bool:
    """Slides of one size and about as much tissue."""
    tissue = abs(one.work["tissue_share"] - other.work["tissue_share"])
    return bool(one.work["width_px"] == other.work["width_px"] and tissue < _SAME_TISSUE)


def with_most_threads(benches: Sequence[Bench]) -> list[Bench]:
    """A line over sizes mixes no numbers of threads."""
    most = max(bench.settings["threads"] for bench in benches)
    return [bench for bench in benches if bench.settings["threads"] == most]


def describe_laws(benches: Sequence[Bench]) -> Iterator[str]:
    """A line each.  Raises InputError."""
    alike = with_most_threads(benches)
    laws = fit_laws([Cost.of(bench) for bench in alike])
    over_size = laws.looking, laws.inference, laws.writing, laws.tiles, memory_law(alike)
    yield f"fitted to {counted(len(benches), 'result')}:"
    for law in (*over_size, *slides_laws(alike), *threads_laws(benches)):
        if law is not None:
            yield f"  {law}"
    if any(stage.own.is_busy for bench in benches for stage in bench.stages):
        yield "  others kept the machine busy: these are upper bounds"


def threads_laws(benches: Sequence[Bench]) -> list[PowerLaw]:
    """Of what was measured with several numbers of threads."""
    rates: dict[str, list[tuple[int, float]]] = {"decode": [], "reading": [], "inference": []}
    for bench in benches:
        rates["decode"] += [(setting_of(s.name), _rate(s)) for s in decode_stages(bench)]
        for name, stage in (("reading", bench.stage(READ)), ("inference", bench.forward)):
            if stage is not None:
                rates[name].append((bench.settings["threads"], _rate(stage)))
    return [law for name, found in rates.items() if (law := _power_law(name, found)) is not None]


def decode_stages(bench: Bench) -> Iterator[Stage]:
    return (stage for stage in bench.stages if stage.name.startswith(DECODE))


def _rate(stage: Stage) -> float:
    """Units a second, in the best of the rounds: load makes none faster."""
    return stage.amount / min(stage.own.seconds)


def _power_law(name: str, found: Sequence[tuple[int, float]]) -> PowerLaw | None:
    if len({threads for threads, _ in found}) < 2:
        return None
    x, y = np.log(np.array(found, float)).T
    power, start = np.polyfit(x, y, 1)
    worst = np.abs(np.exp(power * x + start - y) - 1).max()
    return PowerLaw(name, float(power), float(worst))


def _law(
    name: str, unit: str, amounts: Sequence[float], taken: Sequence[float], of: str = "s"
) -> Law:
    """Least squares in shares of what was measured, so that small slides count as much; neither
    part below nought."""
    x, y = np.array(amounts, float), np.array(taken, float)
    if np.ptp(x) <= 0.01 * x.max():
        return _through_nought(name, unit, amounts, taken, of)
    start, slope = np.linalg.lstsq(np.stack([1 / y, x / y], 1), np.ones_like(y), rcond=None)[0]
    if slope < 0:
        return _made(Law(name, unit, float(np.mean(y)), 0.0, math.nan, of), x, y)
    if start < 0:
        return _through_nought(name, unit, amounts, taken, of)
    return _made(Law(name, unit, float(start), float(slope), math.nan, of), x, y)


def _through_nought(
    name: str, unit: str, amounts: Sequence[float], taken: Sequence[float], of: str
) -> Law:
    x, y = np.array(amounts, float), np.array(taken, float)
    each = x / y
    slope = float(each.sum() / (each**2).sum()) if each.any() else 0.0
    return _made(Law(name, unit, 0.0, slope, math.nan, of), x, y)


def _made(line: Law, x: Floats, y: Floats) -> Law:
    """The line, and by how much it misses."""
    if len(x) < 2:
        return line
    worst = float((np.abs(line.start + line.slope * x - y) / y).max())
    return Law(line.name, line.unit, line.start, line.slope, worst, line.of)
