"""Do two readers agree, beyond what chance gives?  Cohen's kappa (1960, Educ Psychol Meas 20: 37).

The interval is statsmodels', of Fleiss, Cohen and Everitt (1969, Psychol Bull 72: 323).
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from wsi_ai.trial.evidence.estimates import (
    ALPHA,
    Estimate,
    NotEstimable,
    check_alpha,
    check_columns,
    inside,
)
from wsi_ai.trial.evidence.shares import NO_CASES

ONE_WORD = NotEstimable("both readers always say the same one thing, so chance agrees as well")
NO_DISAGREEMENT = NotEstimable("the readers never differ, so nothing shows how far chance could go")


def kappa(
    first: NDArray[np.int64], second: NDArray[np.int64], alpha: float = ALPHA
) -> Estimate | NotEstimable:
    """A row a case, codes of categories from 0 on.

    Not estimable where both readers use one and the same category only (0 of 0), and where they
    never differ: kappa is 1 then, and its standard error 0.
    """
    check_alpha(alpha)
    check_columns(first, second)
    if not len(first):
        return NO_CASES
    size = int(max(first.max(), second.max())) + 1
    table = np.bincount(first * size + second, minlength=size**2).reshape(size, size)
    if (table.sum(0) == len(first)).any() and (table.sum(1) == len(first)).any():
        return ONE_WORD if np.trace(table) else _apart(table, alpha)
    if np.trace(table) == len(first):
        return NO_DISAGREEMENT
    return _apart(table, alpha)


def _apart(table: NDArray[np.int64], alpha: float) -> Estimate | NotEstimable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = cohens_kappa(table)
    value, error = float(found.kappa), float(found.std_kappa)
    if not error > 0:
        return NotEstimable("nothing in the table shows how far chance could go")
    reach = float(stats.norm.isf(alpha / 2)) * error
    return inside(value, value - reach, value + reach, (-1, 1))
