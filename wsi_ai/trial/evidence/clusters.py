"""Several cases of one patient are not several patients.

The variance of a share of clustered cases is that of a ratio of means over patients (Rao and Scott
1992, Biometrics 48: 577); the interval is Wilson's for the number of independent cases that would
have this variance, so with one case a patient it is Wilson's own.  That step is a convention, not a
theorem.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from wsi_ai.trial.evidence.estimates import (
    ALPHA,
    Estimate,
    NotEstimable,
    check_alpha,
    check_columns,
    inside,
)
from wsi_ai.trial.evidence.shares import NO_CASES


@dataclass(frozen=True, slots=True)
class ClusteredShare:
    """A share of cases, and its variance over patients."""

    value: float
    variance: float
    cases: int
    patients: int


def clustered_share(
    hit: NDArray[np.bool_], patient: NDArray[np.int64]
) -> ClusteredShare | NotEstimable:
    """A row a case.  Not estimable with fewer than two patients."""
    check_columns(hit, patient)
    _, of = np.unique(patient, return_inverse=True)
    hits, cases = np.bincount(of, hit), np.bincount(of)
    patients = len(cases)
    if patients < 2:
        return NO_CASES if not patients else NotEstimable("all cases are of one patient")
    value = float(hits.sum() / cases.sum())
    spread = float(((hits - value * cases) ** 2).sum())
    variance = spread / (patients * (patients - 1) * float(cases.mean()) ** 2)
    return ClusteredShare(value, variance, len(hit), patients)


def clustered_interval(share: ClusteredShare, alpha: float = ALPHA) -> Estimate:
    """Counts as at most the number of cases; where all cases or none are hits, and nothing shows
    how alike a patient's cases are, as the number of patients."""
    check_alpha(alpha)
    independent = _independent_cases(share)
    low, high = proportion_confint(share.value * independent, independent, alpha, "wilson")
    return inside(share.value, float(low), float(high), (0, 1))


def _independent_cases(share: ClusteredShare) -> float:
    spread = share.value * (1 - share.value)
    if not spread:
        return share.patients
    if not share.variance:
        return share.cases
    alone = spread / share.variance * share.patients / (share.patients - 1)
    return min(share.cases, alone)
