"""For whom is it worse?  A level of a subgroup beside the reference level, and what may be said."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable, check_alpha, inside
from wsi_ai.trial.evidence.shares import Share, difference

_MOST_CASES = 1 << 17


@dataclass(frozen=True, slots=True)
class Worse:
    """All of the interval is below what is tolerated."""


@dataclass(frozen=True, slots=True)
class NotWorse:
    """None of the interval is: the gap, if there is one, is tolerated."""


@dataclass(frozen=True, slots=True)
class TooFewToSay:
    """Never read as "no difference"."""


Verdict = Worse | NotWorse | TooFewToSay


def verdict(gap: Estimate | NotEstimable, tolerated: float) -> Verdict:
    """By the interval of (level minus reference), not by a test; ``tolerated`` is 0 or more."""
    if not 0 <= tolerated < 1:
        raise ValueError(f"a tolerated gap is 0 or more and below 1, got {tolerated}")
    if isinstance(gap, NotEstimable):
        return TooFewToSay()
    if gap.high < -tolerated:
        return Worse()
    return NotWorse() if gap.low > -tolerated else TooFewToSay()


def cases_to_say(reference: Share, tolerated: float, alpha: float = ALPHA) -> int | None:
    """About the number of cases of a level at which, were it as good as the reference, its gap
    would be shown to be tolerated; ``None`` where no number would do, because the reference has too
    few cases itself."""
    if not reference.cases or not tolerated:
        return None

    def is_enough(cases: int) -> bool:
        level = Share(round(cases * reference.hits / reference.cases), cases)
        return isinstance(verdict(difference(level, reference, alpha), tolerated), NotWorse)

    most = 1
    while not is_enough(most):
        most *= 2
        if most > _MOST_CASES:
            return None
    return bisect.bisect_left(range(most + 1), 1, lo=1, key=lambda n: int(is_enough(n)))


@dataclass(frozen=True, slots=True)
class Stratum:
    """One site's two shares."""

    level: Share
    reference: Share

    @property
    def weight(self) -> float:
        cases = self.level.cases + self.reference.cases
        return self.level.cases * self.reference.cases / cases if cases else 0.0


def stratified_gap(strata: Sequence[Stratum], alpha: float = ALPHA) -> Estimate | NotEstimable:
    """The mean of the sites' own gaps, so that sites differ in people and in scanners without
    making a gap: Mantel and Haenszel's, with the variance of Greenland and Robins (1985,
    Biometrics 41: 55)."""
    check_alpha(alpha)
    both = [s for s in strata if s.weight]
    total = sum(s.weight for s in both)
    if not total:
        return NotEstimable("no site has cases of both groups")
    value = sum(s.weight * (_rate(s.level) - _rate(s.reference)) for s in both) / total
    spread = sum(s.weight**2 * (_variance(s.level) + _variance(s.reference)) for s in both)
    if not spread:
        return NotEstimable("every site has all hits or none, so nothing shows the spread")
    reach = float(stats.norm.isf(alpha / 2)) * spread**0.5 / total
    return inside(value, value - reach, value + reach, (-1, 1))


def _rate(share: Share) -> float:
    return share.hits / share.cases


def _variance(share: Share) -> float:
    return _rate(share) * (1 - _rate(share)) / share.cases
