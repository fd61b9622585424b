"""Does a probability mean what it says?  Only for scores that a model's card calls calibrated.

Slope and intercept after Cox 1958 (Biometrika 45: 562), by a generalised linear model; the test of
Spiegelhalter 1986 (Stat Med 5: 421); the expected calibration error of Naeini 2015 (AAAI).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable, check_columns
from wsi_ai.trial.evidence.shares import NO_CASES, Share, wilson

Floats = NDArray[np.float64]
CERTAIN = NotEstimable("a probability is exactly 0 or 1")
SEPARATED = NotEstimable("one score parts the cases with the condition from those without")


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """A row a case: the probability, and whether it has the condition."""

    probability: Floats
    truth: NDArray[np.bool_]

    def __post_init__(self) -> None:
        check_columns(self.probability, self.truth)
        inside = (self.probability >= 0) & (self.probability <= 1)  # no number is not
        if not inside.all() or self.truth.dtype != np.bool_:
            raise ValueError("a probability is in 0..1, and a truth is true or false")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A coefficient and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """On the logit's scale: perfect is a slope of 1 and an intercept of 0."""

    slope: Fitted
    intercept: Fitted
    in_the_large: Fitted
    """The intercept with the slope held at 1."""


def calibration(data: Probabilities) -> Calibration | NotEstimable:
    reason = _obstacle(data)
    if reason is not None:
        return reason
    logit = special.logit(data.probability)
    ones = np.ones_like(logit)
    truth = data.truth.astype(np.float64)
    both = GLM(truth, np.column_stack([ones, logit]), family=Binomial()).fit(tol=1e-14)
    large = GLM(truth, ones, family=Binomial(), offset=logit).fit(tol=1e-14)
    return Calibration(
        slope=Fitted(float(both.params[1]), float(both.bse[1])),
        intercept=Fitted(float(both.params[0]), float(both.bse[0])),
        in_the_large=Fitted(float(large.params[0]), float(large.bse[0])),
    )


def _obstacle(data: Probabilities) -> NotEstimable | None:
    """Where the likelihood has no maximum."""
    positive, negative = data.probability[data.truth], data.probability[~data.truth]
    if not (len(positive) and len(negative)):
        return NotEstimable("there are no cases with the condition, or none without")
    if np.isin(data.probability, (0.0, 1.0)).any():
        return CERTAIN
    if positive.min() >= negative.max() or negative.min() >= positive.max():
        return SEPARATED
    return None


@dataclass(frozen=True, slots=True)
class Band:
    """Cases with a score from ``low`` on and below ``high``; the last band is closed."""

    low: float
    high: float
    mean_score: float
    observed: Estimate
    """The share that has the condition."""
    cases: int


def bands(data: Probabilities, edges: Floats) -> tuple[Band, ...]:
    """Bands without a case are left out.

    A score on an edge is in the upper band, as a score at the threshold is flagged; scikit-learn's
    ``calibration_curve`` has it in the lower one.
    """
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or not (np.diff(edges) > 0).all():
        raise ValueError("edges rise from 0 to 1")
    of = np.minimum(np.searchsorted(edges, data.probability, "right") - 1, len(edges) - 2)
    found = []
    for k in np.unique(of):
        score, truth = data.probability[of == k], data.truth[of == k]
        observed = wilson(Share(int(truth.sum()), len(truth)))
        if isinstance(observed, Estimate):
            low, high = float(edges[k]), float(edges[k + 1])
            found.append(Band(low, high, float(score.mean()), observed, len(truth)))
    return tuple(found)


def expected_calibration_error(data: Probabilities, bins: int = 10) -> float | NotEstimable:
    """Of bins of equal width."""
    cases = len(data.truth)
    if not cases:
        return NO_CASES
    of_each = bands(data, np.arange(bins + 1) / bins)
    return math.fsum(b.cases * abs(b.mean_score - b.observed.value) for b in of_each) / cases


def brier(data: Probabilities) -> float | NotEstimable:
    """The mean squared distance from the truth."""
    if not len(data.truth):
        return NO_CASES
    return float(((data.probability - data.truth) ** 2).mean())


@dataclass(frozen=True, slots=True)
class Spiegelhalter:
    """Of the hypothesis that every probability is right."""

    z: float
    p: float


def spiegelhalter(data: Probabilities) -> Spiegelhalter | NotEstimable:
    p, away = data.probability, 1 - 2 * data.probability
    spread = float((away**2 * p * (1 - p)).sum())
    if not spread:
        return NotEstimable("every probability is 0, a half or 1")
    z = float(((data.truth - p) * away).sum()) / math.sqrt(spread)
    return Spiegelhalter(z, 2 * float(stats.norm.sf(abs(z))))
