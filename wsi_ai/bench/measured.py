"""Repeated measurements, and what may be concluded from them."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from wsi_ai.bench.rounds import QUIET, Timed, time_once

Run = Callable[[], object]
SURE = 0.95


@dataclass(frozen=True, slots=True)
class Times:
    """The same work several times, in the order in which it was done."""

    seconds: tuple[float, ...]
    cpu_s: tuple[float, ...]
    """Of this process and of those that it started, on all processors."""
    others: tuple[float, ...]
    """Processors that others kept busy meanwhile, on average."""

    def __post_init__(self) -> None:
        counts = {len(self.seconds), len(self.cpu_s), len(self.others)}
        if counts == {0} or len(counts) > 1 or not all(0 < s < math.inf for s in self.seconds):
            raise ValueError("each round has a time above 0, its processor time and its company")

    @classmethod
    def of(cls, timed: Sequence[Timed]) -> Self:
        columns = zip(*((t.wall, t.cpu, t.foreign) for t in timed), strict=True)
        seconds, cpu_s, others = (tuple(float(f"{v:.6g}") for v in c) for c in columns)
        return cls(seconds, cpu_s, others)

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Self:
        return cls(tuple(table["seconds"]), tuple(table["cpu_s"]), tuple(table["others"]))

    def times(self, factor: float) -> Self:
        """Of that many times the work."""
        seconds, cpu_s = (
            tuple(float(f"{factor * value:.6g}") for value in column)
            for column in (self.seconds, self.cpu_s)
        )
        return type(self)(seconds, cpu_s, self.others)

    def as_json(self) -> dict[str, Any]:
        return {
            "median_s": self.median_s,
            "spread": round(self.spread, 3),
            "seconds": list(self.seconds),
            "cpu_s": list(self.cpu_s),
            "others": list(self.others),
        }

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """The middle half of the rounds, as a share of the median."""
        return spread_of(self.seconds)

    @property
    def is_busy(self) -> bool:
        """Others kept the machine busy in half of the rounds or more."""
        return statistics.median(self.others) >= QUIET


def spread_of(values: Sequence[float]) -> float:
    """The middle half of them, as a share of the median; 0 of one."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def share_of(limit: Times, own: Times) -> float:
    """The limit's time over our own, by the rounds of which each had the other beside it."""
    by_round = [a / b for a, b in zip(limit.seconds, own.seconds, strict=True)]
    return statistics.median(by_round)


def alternate_with(own: Run, limit: Run | None, rounds: int) -> tuple[Times, Times | None]:
    """Once for warming up, then ``rounds`` times, with the limit beside each."""
    own()
    if limit is None:
        return Times.of([time_once(own) for _ in range(rounds)]), None
    limit()
    pairs = [(time_once(limit), time_once(own)) for _ in range(rounds)]
    return Times.of([own for _, own in pairs]), Times.of([limit for limit, _ in pairs])


def median_between(values: Sequence[float]) -> tuple[float, float] | None:
    """Two of the values with the median of what they are drawn from between them, in 95 of 100
    cases, whatever its distribution; ``None`` where there are too few (below 6).

    The number below the median is binomial: see any table of the sign test.
    """
    count, found = len(values), None
    ordered = sorted(values)
    for cut in range(count // 2):
        outside = 2 * sum(math.comb(count, k) for k in range(cut + 1)) / 2**count
        if outside <= 1 - SURE:
            found = ordered[cut], ordered[count - 1 - cut]
    return found
