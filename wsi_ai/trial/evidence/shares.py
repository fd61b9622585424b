"""Shares of cases, of one group, of two groups, and of the same cases judged twice.

Intervals after Wilson and Newcombe, as statsmodels computes them.  Sources: Newcombe 1998, Stat
Med 17: 857 (one share), 873 (two, method 10), 2635 (paired, method 10).
"""

import math
from dataclasses import dataclass

from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable, check_alpha, inside

NO_CASES = NotEstimable("there is no such case")


@dataclass(frozen=True, slots=True)
class Share:
    """A number of hits of a number of cases."""

    hits: int
    cases: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.cases:
            raise ValueError(f"hits are some of the cases, got {self}")


def wilson(share: Share, alpha: float = ALPHA) -> Estimate | NotEstimable:
    """The interval for reports: right on average."""
    return _one(share, alpha, "wilson")


def clopper_pearson(share: Share, alpha: float = ALPHA) -> Estimate | NotEstimable:
    """The interval for rules that stop something: never less than it says."""
    return _one(share, alpha, "beta")


def _one(share: Share, alpha: float, method: str) -> Estimate | NotEstimable:
    check_alpha(alpha)
    if not share.cases:
        return NO_CASES
    low, high = proportion_confint(share.hits, share.cases, alpha, method)
    return inside(share.hits / share.cases, float(low), float(high), (0, 1))


def difference(first: Share, second: Share, alpha: float = ALPHA) -> Estimate | NotEstimable:
    """First minus second, of two groups of different cases."""
    check_alpha(alpha)
    if not (first.cases and second.cases):
        return NO_CASES
    low, high = confint_proportions_2indep(
        first.hits, first.cases, second.hits, second.cases, "newcomb", "diff", alpha
    )
    value = first.hits / first.cases - second.hits / second.cases
    return inside(value, float(low), float(high), (-1, 1))


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same cases judged twice: by how many judgements were right."""

    both: int
    first_only: int
    second_only: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.first_only, self.second_only, self.neither) < 0:
            raise ValueError(f"counts are 0 or more, got {self}")

    @property
    def first(self) -> Share:
        return Share(self.both + self.first_only, self._cases)

    @property
    def second(self) -> Share:
        return Share(self.both + self.second_only, self._cases)

    @property
    def _cases(self) -> int:
        return self.both + self.first_only + self.second_only + self.neither


@dataclass(frozen=True, slots=True)
class McNemar:
    """Is one judgement right more often than the other?  Only cases on which they differ count."""

    chi_square: float
    """Without correction for continuity."""
    exact_p: float
    mid_p: float


def mcnemar(pairs: Pairs) -> McNemar | NotEstimable:
    discordant = pairs.first_only + pairs.second_only
    if not discordant:
        return NotEstimable("the two never differ")
    table = [[pairs.both, pairs.first_only], [pairs.second_only, pairs.neither]]
    fewer = min(pairs.first_only, pairs.second_only)
    mid_p = 2 * stats.binom.cdf(fewer, discordant, 0.5) - stats.binom.pmf(fewer, discordant, 0.5)
    return McNemar(
        chi_square=float(_mcnemar(table, exact=False, correction=False).statistic),
        exact_p=float(_mcnemar(table, exact=True).pvalue),
        mid_p=min(1.0, float(mid_p)),
    )


def paired_difference(pairs: Pairs, alpha: float = ALPHA) -> Estimate | NotEstimable:
    """First minus second.  No library has Newcombe's method 10 for pairs."""
    first, second = wilson(pairs.first, alpha), wilson(pairs.second, alpha)
    if isinstance(first, NotEstimable) or isinstance(second, NotEstimable):
        return NO_CASES
    phi, value = _correlation(pairs), first.value - second.value
    low = _distance(first.value - first.low, second.high - second.value, phi)
    high = _distance(first.high - first.value, second.value - second.low, phi)
    return inside(value, value - low, value + high, (-1, 1))


def _distance(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _correlation(pairs: Pairs) -> float:
    """Phi, shrunk where it is positive."""
    first, second, cases = pairs.first.hits, pairs.second.hits, pairs.first.cases
    product = first * (cases - first) * second * (cases - second)
    if not product:
        return 0.0
    apart = pairs.both * pairs.neither - pairs.first_only * pairs.second_only
    shrunk = apart if apart <= 0 else max(0.0, apart - cases / 2)
    return shrunk / math.sqrt(product)
