"""Who waits less with flags, and who waits longer: always both.

Waits in one queue depend on each other, so an interval is over replicates, never over cases.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import stats

from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable, check_alpha
from wsi_ai.trial.waiting.cases import Cases, Flags, Seconds


class Group(StrEnum):
    """Overlapping on purpose."""

    CONDITION = "with the condition"
    MISSED = "with the condition, not flagged"
    FLAGGED = "flagged"
    NOT_FLAGGED = "not flagged"
    NO_CONDITION = "without the condition"
    URGENT = "urgent by other means"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of one group in one arm."""

    cases: int
    mean_s: float
    p95_s: float
    """The 95th percentile."""


@dataclass(frozen=True, slots=True)
class Change:
    without_flags: Waiting
    with_flags: Waiting


def members(cases: Cases, group: Group) -> Flags:
    ordinary = ~cases.urgent
    found = {
        Group.CONDITION: cases.condition,
        Group.MISSED: cases.condition & ~cases.flagged,
        Group.FLAGGED: cases.flagged & ordinary,
        Group.NOT_FLAGGED: ~cases.flagged & ordinary,
        Group.NO_CONDITION: ~cases.condition & ordinary,
        Group.URGENT: cases.urgent,
    }
    return found[group]


def changes(
    cases: Cases, without_flags_s: Seconds, with_flags_s: Seconds, *, counted: slice = slice(None)
) -> dict[Group, Change]:
    """By group, of the counted cases; groups without a case are left out."""
    found = {}
    for group in Group:
        of = members(cases, group)[counted]
        if of.any():
            found[group] = Change(
                _waiting(without_flags_s[counted][of]), _waiting(with_flags_s[counted][of])
            )
    return found


def over_replicates(values: Sequence[float], alpha: float = ALPHA) -> Estimate | NotEstimable:
    """The mean of independent runs of the same setting."""
    check_alpha(alpha)
    if len(values) < 2:
        return NotEstimable("one run shows nothing of chance")
    mean = math.fsum(values) / len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.isf(alpha / 2, len(values) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)


def _waiting(waits_s: Seconds) -> Waiting:
    return Waiting(len(waits_s), float(waits_s.mean()), float(np.percentile(waits_s, 95)))
