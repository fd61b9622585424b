"""The area under the ROC curve: the share of pairs, one case with the condition and one without, of
which the former has the higher score; ties count half.

Its variance is Obuchowski's for clustered cases (1997, Biometrics 53: 567), which with one case a
patient is DeLong's (1988, Biometrics 44: 837), by midranks (Sun and Xu 2014, IEEE Signal Process
Lett 21: 1389).  Areas of several sites are averaged over the pairs within a site (Janes and Pepe
2009, Biometrika 96: 371): a flag competes inside its own site's list only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from wsi_ai.trial.evidence.estimates import (
    ALPHA,
    Estimate,
    NotEstimable,
    check_alpha,
    check_columns,
    inside,
)

Floats = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]
ONE_CLASS = NotEstimable("there are no cases with the condition, or none without")
FEW_PATIENTS = NotEstimable("fewer than two patients have the condition, or do not have it")
NO_SPREAD = NotEstimable("all pairs are ordered alike, so nothing shows how far chance could go")
_LOGIT_FROM = 0.9
_LOGIT_CASES = 30


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """A row a case: whether it has the condition, and whose it is."""

    truth: NDArray[np.bool_]
    patient: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_columns(self.truth, self.patient)
        if self.truth.dtype != np.bool_:
            raise ValueError("truth is a column of booleans")


@dataclass(frozen=True, slots=True)
class Area:
    """All that pooling needs to know of a site's ROC curve."""

    value: float
    variance: float
    positives: int
    negatives: int

    def __post_init__(self) -> None:
        known = 0 <= self.value <= 1 and 0 <= self.variance < math.inf
        if not (known and self.positives >= 0 and self.negatives >= 0):
            raise ValueError(f"an area is a share of pairs, got {self}")

    @property
    def pairs(self) -> int:
        return self.positives * self.negatives


def separate_patients(truth: NDArray[np.bool_]) -> Cases:
    """Each case is another patient's."""
    return Cases(truth, np.arange(len(truth)))


def auroc(score: Scores, cases: Cases) -> Area | NotEstimable:
    """A case that was not assessed may have the score -inf: it waits behind all others."""
    placed = _placements(score, cases)
    if isinstance(placed, NotEstimable):
        return placed
    variance = _variance(placed, cases)
    if isinstance(variance, NotEstimable):
        return variance
    return Area(placed.area, variance, len(placed.positives), len(placed.negatives))


def interval(area: Area, alpha: float = ALPHA) -> Estimate | NotEstimable:
    """On the logit's scale near 0 and 1, and where one class is small."""
    check_alpha(alpha)
    if not area.variance:
        return NO_SPREAD
    z, error = float(stats.norm.isf(alpha / 2)), math.sqrt(area.variance)
    skewed = not 1 - _LOGIT_FROM <= area.value <= _LOGIT_FROM
    if not (skewed or min(area.positives, area.negatives) < _LOGIT_CASES):
        return inside(area.value, area.value - z * error, area.value + z * error, (0, 1))
    if not 0 < area.value < 1:
        return NO_SPREAD
    middle = float(special.logit(area.value))
    reach = z * error / (area.value * (1 - area.value))
    low, high = special.expit(middle - reach), special.expit(middle + reach)
    return inside(area.value, float(low), float(high), (0, 1))


@dataclass(frozen=True, slots=True)
class AreaDifference:
    """First minus second, of two scores of the same cases."""

    estimate: Estimate
    z: float
    p: float


def compare(
    first: Scores, second: Scores, cases: Cases, alpha: float = ALPHA
) -> AreaDifference | NotEstimable:
    check_alpha(alpha)
    one, other = _placements(first, cases), _placements(second, cases)
    if isinstance(one, NotEstimable) or isinstance(other, NotEstimable):
        return ONE_CLASS
    apart = _Placements(
        one.area - other.area, one.positives - other.positives, one.negatives - other.negatives
    )
    variance = _variance(apart, cases)
    if isinstance(variance, NotEstimable):
        return variance
    if not variance:
        return NO_SPREAD
    z, error = float(stats.norm.isf(alpha / 2)), math.sqrt(variance)
    ratio = apart.area / error
    estimate = inside(apart.area, apart.area - z * error, apart.area + z * error, (-1, 1))
    return AreaDifference(estimate, ratio, 2 * float(stats.norm.sf(abs(ratio))))


def pool_areas(sites: Sequence[Area]) -> Area | NotEstimable:
    """Of all pairs whose two cases are of one site."""
    pairs = sum(site.pairs for site in sites)
    if not pairs:
        return ONE_CLASS
    shares = [site.pairs / pairs for site in sites]
    return Area(
        value=min(1.0, math.fsum(w * site.value for w, site in zip(shares, sites, strict=True))),
        variance=math.fsum(w**2 * site.variance for w, site in zip(shares, sites, strict=True)),
        positives=sum(site.positives for site in sites),
        negatives=sum(site.negatives for site in sites),
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is possible; ``with_ties`` counts pairs within a bin as ties."""

    least: float
    with_ties: float
    greatest: float


def bounds_of_bins(
    positives: NDArray[np.int64], negatives: NDArray[np.int64]
) -> Bounds | NotEstimable:
    """The areas that two histograms over the same bins, lowest score first, leave possible."""
    check_columns(positives, negatives)
    pairs = int(positives.sum()) * int(negatives.sum())
    if not pairs:
        return ONE_CLASS
    below = np.cumsum(negatives) - negatives
    sure, tied = int((positives * below).sum()), int((positives * negatives).sum())
    return Bounds(sure / pairs, (2 * sure + tied) / (2 * pairs), (sure + tied) / pairs)


@dataclass(frozen=True, slots=True, eq=False)
class _Placements:
    """For each case, the share of the other class that it is on the right side of."""

    area: float
    positives: Floats
    negatives: Floats


def _placements(score: Scores, cases: Cases) -> _Placements | NotEstimable:
    check_columns(score, cases.truth)
    if np.isnan(score).any():
        raise ValueError("a score is a number; a case that was not assessed may have -inf")
    exact = score.astype(np.float64)
    positive, negative = exact[cases.truth], exact[~cases.truth]
    m, n = len(positive), len(negative)
    if not (m and n):
        return ONE_CLASS
    rank = stats.rankdata(np.concatenate([positive, negative]))
    above = rank[:m] - stats.rankdata(positive)  # halves, so that their sum is exact
    below = rank[m:] - stats.rankdata(negative)
    return _Placements(float(above.sum()) / m / n, above / n, 1 - below / m)


def _variance(placed: _Placements, cases: Cases) -> float | NotEstimable:
    _, of = np.unique(cases.patient, return_inverse=True)
    patients, m, n = int(of.max()) + 1, len(placed.positives), len(placed.negatives)
    in_m = np.bincount(of[cases.truth], minlength=patients)
    in_n = np.bincount(of[~cases.truth], minlength=patients)
    with_m, with_n = int((in_m > 0).sum()), int((in_n > 0).sum())
    if min(with_m, with_n) < 2:
        return FEW_PATIENTS
    x = np.bincount(of[cases.truth], placed.positives - placed.area, patients)
    y = np.bincount(of[~cases.truth], placed.negatives - placed.area, patients)
    return max(
        0.0,
        with_m / (with_m - 1) * float((x**2).sum()) / m**2
        + with_n / (with_n - 1) * float((y**2).sum()) / n**2
        + 2 * patients / (patients - 1) * float((x * y).sum()) / m / n,
    )
