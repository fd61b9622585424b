"""How many cases a trial needs, and how many errors stop it."""

import math

from scipy import stats

from wsi_ai.trial.evidence.estimates import Estimate, check_alpha
from wsi_ai.trial.evidence.shares import Share, clopper_pearson

_STEADY = 30
"""Power of an exact test rises like a saw: it must hold for this number of further sizes."""
_MOST = 100_000


def power(cases: int, goal: float, expected: float, alpha: float) -> float:
    """Of the exact one-sided binomial test that a share exceeds ``goal``."""
    critical = int(stats.binom.isf(alpha, cases, goal))
    return float(stats.binom.sf(critical, cases, expected))


def cases_needed(goal: float, expected: float, alpha: float = 0.025, wanted: float = 0.8) -> int:
    """The least number of cases from which on the power is there, and stays.

    ``alpha`` is one-sided.
    """
    check_alpha(alpha)
    check_alpha(wanted)
    if not 0 < goal < expected < 1:
        raise ValueError(f"the expected share is above the goal, got {expected} and {goal}")
    run = 0
    reach = float(stats.norm.isf(alpha) + stats.norm.ppf(wanted)) / (expected - goal)
    if reach > 0 and reach**2 * expected * (1 - expected) > _MOST:  # about so many
        raise ValueError(f"{expected} is too close to {goal} for {_MOST} cases to tell")
    for cases in range(1, _MOST):
        run = run + 1 if power(cases, goal, expected, alpha) >= wanted else 0
        if run > _STEADY:
            return cases - _STEADY
    raise ValueError(f"{expected} is too close to {goal} for {_MOST} cases to tell")


def cases_for_width(expected: float, half_width: float, prevalence: float = 1.0) -> int:
    """Number of cases, with and without the condition, for an interval of this half-width
    (Buderer 1996, Acad Emerg Med 3: 895)."""
    if not (0 < expected < 1 and 0 < half_width < 1 and 0 < prevalence <= 1):
        raise ValueError("shares and widths are between 0 and 1")
    z = float(stats.norm.isf(0.025))
    positives = math.ceil(round(z**2 * expected * (1 - expected) / half_width**2, 9))
    return math.ceil(round(positives / prevalence, 9))


def area_error(area: float, positives: int, negatives: int) -> float:
    """Standard error to plan with, of an AUROC (Hanley and McNeil 1982, Radiology 143: 29)."""
    if not (0 < area < 1 and positives > 0 and negatives > 0):
        raise ValueError("an area is between 0 and 1, of cases of both kinds")
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area)
    spread += (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return math.sqrt(spread / (positives * negatives))


def misses_that_stop(cases: int, tolerated: float, alpha: float = 0.05) -> int | None:
    """The least number of misses that shows, at this two-sided alpha, more than is tolerated;
    ``None`` where not even all do."""
    for misses in range(cases + 1):
        bound = clopper_pearson(Share(misses, cases), alpha)
        if isinstance(bound, Estimate) and bound.low > tolerated:
            return misses
    return None
