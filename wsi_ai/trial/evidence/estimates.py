"""What a statistic may be: an estimate with its interval, or a reason why there is none."""

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

ALPHA = 0.05
"""Two-sided: 95 % intervals, unless the caller asks otherwise."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value inside its interval; all three are finite."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.value <= self.high < math.inf:
            raise ValueError(f"an estimate lies inside its interval, got {self}")


@dataclass(frozen=True, slots=True)
class NotEstimable:
    """Never shown as 0, nor as no number."""

    reason: str
    """A clause in plain English, without a number of cases in it."""


def inside(value: float, low: float, high: float, bounds: tuple[float, float]) -> Estimate:
    """An estimate whose interval ends where the quantity itself does, and holds its value though
    both were rounded."""
    least, greatest = bounds
    return Estimate(value, max(least, min(low, value)), min(greatest, max(high, value)))


def check_alpha(alpha: float) -> None:
    """Raises ValueError."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is between 0 and 1, got {alpha}")


def check_columns(*columns: NDArray[Any]) -> None:
    """Columns of one table: one length, one dimension.  Raises ValueError."""
    shapes = {column.shape for column in columns}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        raise ValueError("columns of one table have one length")
