"""Where one more site's true value may be, by a parametric bootstrap.

After Nagashima, Noma and Furukawa (2019, Stat Methods Med Res 28: 1689): the variance between sites
is drawn from its confidence distribution, by the exact distribution of Cochran's Q, and not taken
for known.  The interval with Student's t takes it for known, and holds the further site less often
than it says.  The error of the mean is Knapp and Hartung's with their safeguard, as in the mean's
own interval: sites that agree by chance would else leave a further one less room than the mean.
"""

import numpy as np
from numpy.typing import NDArray

from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable, check_alpha
from wsi_ai.trial.evidence.pooling import Effects

Floats = NDArray[np.float64]
_DRAWS, _GRID = 4_000, 160
_LARGEST = 1e4
"""Of the variance between sites, by that within the least sure one."""


def bootstrap_prediction(
    effects: Effects, seed: int = 0, alpha: float = ALPHA
) -> Estimate | NotEstimable:
    """The median, and the interval.  The same seed gives the same interval."""
    check_alpha(alpha)
    if len(effects.value) < 3:
        return NotEstimable("fewer than three sites show what a further one may be")
    rng = np.random.default_rng(seed)
    tau2 = _drawn_spreads(effects, rng)
    weight = 1 / (effects.variance + tau2[:, None])
    total = weight.sum(1)
    mean = (weight * effects.value).sum(1) / total
    apart = (weight * (effects.value - mean[:, None]) ** 2).sum(1)
    free = len(effects.value) - 1
    error = np.sqrt(np.maximum(1.0, apart / free) / total)
    further = mean + rng.standard_normal(_DRAWS) * np.sqrt(tau2)
    further += rng.standard_t(free, _DRAWS) * error
    low, middle, high = np.quantile(further, [alpha / 2, 0.5, 1 - alpha / 2])
    return Estimate(float(middle), float(low), float(high))


def _drawn_spreads(effects: Effects, rng: np.random.Generator) -> Floats:
    """For each draw of a sum of weighted chi-squares, the variance between sites with which it is
    the Q that was seen; 0 where already chance within sites makes as much."""
    sure = 1 / effects.variance
    seen = float((sure * (effects.value - (sure * effects.value).sum() / sure.sum()) ** 2).sum())
    largest = float(effects.variance.max())
    grid = np.concatenate([[0.0], np.geomspace(1e-5, _LARGEST, _GRID) * largest])
    squares = rng.chisquare(1, (_DRAWS, len(effects.value) - 1))
    q = squares @ np.array([_weights(effects, float(tau2)) for tau2 in grid]).T
    upper = np.clip((q < seen).sum(1), 1, _GRID)
    row = np.arange(_DRAWS)
    below, above = q[row, upper - 1], q[row, upper]
    part = np.clip((seen - below) / (above - below), 0, 1)
    return np.asarray(grid[upper - 1] + part * (grid[upper] - grid[upper - 1]), np.float64)


def _weights(effects: Effects, tau2: float) -> Floats:
    """Of the chi-squares that make Q, where sites differ by this much; the least is 0 and is not
    among them."""
    sure = 1 / effects.variance
    centred = np.diag(sure) - np.outer(sure, sure) / sure.sum()
    root = np.sqrt(effects.variance + tau2)
    return np.asarray(np.linalg.eigvalsh(root[:, None] * centred * root)[1:], np.float64)
