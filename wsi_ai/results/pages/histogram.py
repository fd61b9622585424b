"""How many have which score, for a drawing that stays text."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 50
_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Bar:
    low: float
    high: float
    number: int
    share: float
    """Of the drawing's height; the axis is logarithmic."""
    counts: bool
    """The whole bar reaches the threshold."""


@dataclass(frozen=True, slots=True)
class Histogram:
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[int, float], ...]
    """A number, and how high it is as a share of the drawing."""
    number: int


def histogram(scores: NDArray[np.float32], threshold: float) -> Histogram | None:
    """``None`` where there is no score."""
    if not scores.size:
        return None
    counts, edges = _counted(scores)
    top = np.log10(1 + counts.max())
    bars = tuple(
        Bar(low, high, count, float(np.log10(1 + count) / top), low >= threshold - 1e-9)
        for low, high, count in zip(
            edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True
        )
    )
    powers = [10**n for n in range(9) if 10**n <= counts.max()]
    ticks = tuple((power, float(np.log10(1 + power) / top)) for power in powers)
    return Histogram(bars, ticks, int(scores.size))


def _counted(scores: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many are in each bin, and the bins' edges."""
    counts, edges = np.histogram(scores[:0].astype(np.float64), BINS, (0.0, 1.0))
    for first in range(0, len(scores), _AT_ONCE):
        part = scores[first : first + _AT_ONCE].astype(np.float64)
        counts += np.histogram(part, BINS, (0.0, 1.0))[0]
    return counts, edges
