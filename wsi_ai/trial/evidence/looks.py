"""Looking at a trial before its end, without raising the chance of a false claim.

Critical values of |Z| at equally spaced looks, by the recursion of Armitage, McPherson and Rowe
(1969, JRSS A 132: 235); designs of O'Brien and Fleming 1979 and Pocock 1977.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from wsi_ai.trial.evidence.estimates import ALPHA, check_alpha

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


def obrien_fleming(looks: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """Strict at first, close to a single look's value at the end."""
    return _critical(looks, alpha, lambda look: math.sqrt(looks / look))


def pocock(looks: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """The same at every look."""
    return _critical(looks, alpha, lambda look: 1.0)


def chance_of_crossing(critical: Sequence[float]) -> float:
    """That |Z| reaches its critical value at one look or more, though there is no effect."""
    total, before, mass = 0.0, np.zeros(1), np.ones(1)
    for look, value in enumerate(critical, 1):
        limit = value * math.sqrt(look)  # of a sum with steps of variance 1
        beyond = special.ndtr(before - limit) + special.ndtr(-limit - before)
        total += float((mass * beyond).sum())
        here = _NODES * limit
        density = (mass * _pdf(here[:, None] - before)).sum(1)
        before, mass = here, density * _WEIGHTS * limit
    return total


def _pdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-z * z / 2) / math.sqrt(2 * math.pi), np.float64)


def _critical(looks: int, alpha: float, shape: Callable[[int], float]) -> tuple[float, ...]:
    check_alpha(alpha)
    if not 1 <= looks <= 20:
        raise ValueError(f"there are 1 to 20 looks, got {looks}")
    shapes = [shape(look) for look in range(1, looks + 1)]

    def excess(last: float) -> float:
        return chance_of_crossing([last * s for s in shapes]) - alpha

    one = float(stats.norm.isf(alpha / 2))
    last = float(optimize.brentq(excess, 0.99 * one, 3 * one))
    return tuple(last * s for s in shapes)
