"""Has what comes in, or what goes out, changed since the trial began?

Average run lengths, the number of points until an alarm, are by the Markov chain of Brook and Evans
(1972, Biometrika 59: 539).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from wsi_ai.trial.evidence.estimates import NotEstimable

_CELLS = 400


def stability_index(baseline: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """Population stability index of two histograms over the same bins.

    Where a bin is empty in one of them only, half a case is added to every bin of both.
    """
    if baseline.shape != now.shape or baseline.ndim != 1:
        raise ValueError("both histograms have the same bins")
    used = (baseline > 0) | (now > 0)
    before, after = baseline[used].astype(np.float64), now[used].astype(np.float64)
    if not (before.sum() and after.sum()):
        raise ValueError("a histogram has a case or more")
    if not ((before > 0) & (after > 0)).all():
        before, after = before + 0.5, after + 0.5
    before, after = before / before.sum(), after / after.sum()
    return float(((after - before) * np.log(after / before)).sum())


@dataclass(frozen=True, slots=True)
class TwoSamples:
    """Kolmogorov and Smirnov: the greatest distance of two distributions, as scipy computes it."""

    distance: float
    p: float


def two_samples(before: NDArray[np.float64], now: NDArray[np.float64]) -> TwoSamples | NotEstimable:
    if not (len(before) and len(now)):
        return NotEstimable("one of the two has no case")
    if not (np.isfinite(before).all() and np.isfinite(now).all()):
        raise ValueError("every value is a number")
    found = stats.ks_2samp(before, now)
    return TwoSamples(float(found.statistic), float(found.pvalue))


def decile_edges(baseline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner edges of ten bins that hold a tenth of the baseline each; of many ties, fewer bins."""
    if not (len(baseline) and np.isfinite(baseline).all()):
        raise ValueError("a baseline has a case or more, and every value is a number")
    return np.unique(np.quantile(baseline, np.arange(1, 10) / 10, method="inverted_cdf"))


def binned(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Counts; a value on an edge is in the upper bin."""
    of = np.searchsorted(edges, values, "right")
    return np.bincount(of, minlength=len(edges) + 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Cusum:
    """One-sided: rises with points above ``reference``, falls to 0, alarms at ``limit``; in
    standard deviations."""

    reference: float = 0.5
    limit: float = 5.0

    def __post_init__(self) -> None:
        if not (self.reference >= 0 and 0 < self.limit < math.inf):
            raise ValueError(f"a reference is 0 or more, a limit more than 0, got {self}")

    def path(self, points: Iterable[float]) -> Iterator[float]:
        """The chart; a point that is no number leaves it as it is."""
        at = 0.0
        for point in points:
            if math.isfinite(point):
                at = max(0.0, at + point - self.reference)
            yield at

    def run_length(self, shift: float = 0.0) -> float:
        """On average, where the mean has moved by ``shift``."""
        width = 2 * self.limit / (2 * _CELLS - 1)
        at = np.arange(_CELLS) * width
        upper = at[None] + width / 2 - at[:, None] + self.reference - shift
        step = special.ndtr(upper) - special.ndtr(upper - width)
        step[:, 0] = special.ndtr(upper[:, 0])
        return float(_mean_steps(step)[0])


@dataclass(frozen=True, slots=True)
class Ewma:
    """Two-sided: an exponentially weighted mean; alarms at ``limit`` of its standard deviations."""

    weight: float = 0.1
    limit: float = 2.814

    def __post_init__(self) -> None:
        if not (0 < self.weight <= 1 and 0 < self.limit < math.inf):
            raise ValueError(f"a weight is above 0 and at most 1, a limit above 0, got {self}")

    @property
    def bound(self) -> float:
        return self.limit * math.sqrt(self.weight / (2 - self.weight))

    def path(self, points: Iterable[float]) -> Iterator[float]:
        """The chart; a point that is no number leaves it as it is."""
        at = 0.0
        for point in points:
            if math.isfinite(point):
                at += self.weight * (point - at)
            yield at

    def run_length(self, shift: float = 0.0) -> float:
        """On average, where the mean has moved by ``shift``."""
        cells, bound = _CELLS + 1, self.bound
        width = 2 * bound / cells
        at = (np.arange(cells) + 0.5) * width - bound
        upper = (at[None] + width / 2 - (1 - self.weight) * at[:, None]) / self.weight - shift
        step = special.ndtr(upper) - special.ndtr(upper - width / self.weight)
        return float(_mean_steps(step)[cells // 2])


@dataclass(frozen=True, slots=True)
class BernoulliCusum:
    """Case by case: has a rate of misses gone from ``usual`` to ``raised``?"""

    usual: float
    raised: float
    limit: float

    def __post_init__(self) -> None:
        if not (0 < self.usual < self.raised < 1 and 0 < self.limit < math.inf):
            raise ValueError(f"rates rise between 0 and 1, got {self}")

    @property
    def fall(self) -> float:
        """With a case that was found."""
        return -math.log((1 - self.raised) / (1 - self.usual))

    @property
    def rise(self) -> float:
        """With a case that was missed."""
        return math.log(self.raised / self.usual)

    def path(self, missed: Iterable[bool]) -> Iterator[float]:
        at = 0.0
        for miss in missed:
            at = max(0.0, at + (self.rise if miss else -self.fall))
            yield at


def _mean_steps(step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Until a chain of these steps leaves, from each place."""
    return np.asarray(np.linalg.solve(np.eye(len(step)) - step, np.ones(len(step))), np.float64)
