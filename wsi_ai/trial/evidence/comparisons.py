"""Many questions asked of the same cases."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wsi_ai.trial.evidence.estimates import ALPHA, check_alpha


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted so that the chance of one false claim or more stays below alpha (Holm 1979).

    statsmodels gives the same, and collects all garbage of the program at each call.
    """
    values = _checked(p)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, steps)
    return tuple(float(value) for value in adjusted)


def benjamini_hochberg(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted so that the share of false claims among claims does; for exploration (1995)."""
    values = _checked(p)
    return tuple(float(v) for v in stats.false_discovery_control(values)) if len(values) else ()


def simultaneous_alpha(levels: int, alpha: float = ALPHA) -> float:
    """For each of several intervals that shall all hold at once (Bonferroni)."""
    check_alpha(alpha)
    if levels < 1:
        raise ValueError(f"there is 1 interval or more, got {levels}")
    return alpha / levels


def _checked(p: Sequence[float]) -> NDArray[np.float64]:
    if not all(0 <= value <= 1 for value in p):
        raise ValueError("a p value is in 0..1")
    return np.array(p, np.float64)
