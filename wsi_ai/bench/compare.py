"""Two runs of the benchmark: what became slower, and what cannot be said."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wsi_ai.bench.measured import Times, median_between, spread_of
from wsi_ai.bench.report import Bench
from wsi_ai.errors import InputError

SMALL = 0.05
"""Changes below this are called none."""


class Verdict(StrEnum):
    SLOWER = "slower"
    FASTER = "faster"
    SAME = "no change"
    UNCLEAR = "cannot be said"


@dataclass(frozen=True, slots=True)
class Change:
    """Of one stage."""

    name: str
    ratio: float
    """The second's median over the first's."""
    between: tuple[float, float] | None
    """Where the ratio lies; ``None`` where there were too few rounds."""
    verdict: Verdict
    why: str = ""


def differences(first: Bench, second: Bench) -> list[str]:
    """What differs in machine and software, as ``name: this, then that``."""
    found = list[str]()
    for one, other in ((first.machine, second.machine), (first.software, second.software)):
        names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        found += [f"{name}: {one.get(name, '-')}, then {other.get(name, '-')}" for name in names]
    return found


def check_alike(benches: Sequence[Bench]) -> None:
    """Other slides, and other numbers of threads; the rest is the same.  Raises InputError."""
    for bench in benches[1:]:
        if bench.model != benches[0].model:
            raise InputError("the results are of different models")
        others = [d for d in differences(benches[0], bench) if not d.startswith("processors")]
        if others:
            raise InputError(f"the results are of different machines or software: {others[0]}")


def compare(first: Bench, second: Bench) -> list[Change]:
    """Stages that both have.  Raises InputError where the work was not the same."""
    for name in ("work", "model", "settings"):
        one, other = getattr(first, name), getattr(second, name)
        if wrong := sorted(key for key in {*one, *other} if one.get(key) != other.get(key)):
            raise InputError(f"these did not measure the same: {name} {', '.join(wrong)} differ")
    there = {stage.name: stage for stage in second.stages}
    pairs = [(one, there[one.name]) for one in first.stages if one.name in there]
    if not pairs:
        raise InputError("the two have no stage in common")
    return [change(one.name, one.own, other.own) for one, other in pairs]


def change(name: str, first: Times, second: Times) -> Change:
    """Where others kept the machine busy, processor time must say it too: load makes a run
    slower, and hardly makes it work more."""
    wall = _by(name, first.seconds, second.seconds)
    if not (first.is_busy or second.is_busy) or wall.verdict is Verdict.UNCLEAR:
        return wall
    which = "both" if first.is_busy and second.is_busy else _which(first)
    cpu = _by(name, first.cpu_s, second.cpu_s)
    if cpu.verdict is wall.verdict:
        return Change(name, wall.ratio, wall.between, wall.verdict, "processor time agrees")
    why = f"others kept the machine busy in {which}, and processor time does not agree"
    return Change(name, wall.ratio, wall.between, Verdict.UNCLEAR, why)


def _which(first: Times) -> str:
    return "the first" if first.is_busy else "the second"


def _by(name: str, first: tuple[float, ...], second: tuple[float, ...]) -> Change:
    base = statistics.median(first)
    ratio = statistics.median(second) / base if base > 0 else float("inf")
    before, after = median_between(first), median_between(second)
    if before is None or after is None:
        return Change(name, ratio, None, Verdict.UNCLEAR, "fewer than 6 rounds")
    if before[0] <= 0 or base <= 0:
        return Change(name, ratio, None, Verdict.UNCLEAR, "too short to be measured")
    low, high = after[0] / before[1], after[1] / before[0]
    verdict = _verdict(ratio, low, high)
    if max(ratio, 1 / ratio) - 1 < max(spread_of(first), spread_of(second)):
        verdict = Verdict.SAME if verdict is Verdict.SAME else Verdict.UNCLEAR
    why = "the rounds are spread too far" if verdict is Verdict.UNCLEAR else ""
    return Change(name, ratio, (low, high), verdict, why)


def _verdict(ratio: float, low: float, high: float) -> Verdict:
    if 1 / (1 + SMALL) <= ratio <= 1 + SMALL:
        close = high <= 1 + 2 * SMALL and low >= 1 / (1 + 2 * SMALL)
        return Verdict.SAME if close else Verdict.UNCLEAR
    if low > 1:
        return Verdict.SLOWER
    return Verdict.FASTER if high < 1 else Verdict.UNCLEAR
