"""For whom is it worse?  Each level of a characteristic beside the reference level, over sites."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.evidence.accuracy import FlagTable, operational
from wsi_ai.trial.evidence.accuracy import not_assessed as failures
from wsi_ai.trial.evidence.comparisons import holm, simultaneous_alpha
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.gaps import Stratum, TooFewToSay, Verdict, stratified_gap, verdict
from wsi_ai.trial.evidence.shares import Share, difference, wilson
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.sums import Subgroup

USUALLY_TOLERATED = 0.05
"""Where the protocol says nothing."""
_FEWEST = SmallNumbers().least
FEW = NotEstimable("fewer than eight cases of the level, or of the reference level")


@dataclass(frozen=True, slots=True)
class Gap:
    """Level minus reference level; below 0 is worse.  Both gaps have to say it: with few cases the
    stratified one is too sure of itself."""

    crude: Estimate | NotEstimable
    stratified: Estimate | NotEstimable
    """Over sites, so that sites differ in people and in scanners without making a gap."""
    verdict: Verdict
    cases_needed: int | None
    """Of the level, for an interval as narrow as what is tolerated; ``None`` where it is said."""


@dataclass(frozen=True, slots=True)
class LevelResult:
    """One level; its gaps are ``None`` for the reference level itself."""

    level: str
    assessed: Share
    sensitivity: Share
    specificity: Share
    assessed_gap: Gap | None
    sensitivity_gap: Gap | None
    specificity_gap: Gap | None

    @property
    def gaps(self) -> tuple[Gap, ...]:
        found = (self.assessed_gap, self.sensitivity_gap, self.specificity_gap)
        return tuple(gap for gap in found if gap is not None)


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A subgroup of the protocol."""

    name: str
    kind: str
    reference: str
    tolerated: float
    levels: tuple[LevelResult, ...]
    p_sensitivity: float | None
    """That no level's sensitivity differs, adjusted over characteristics; ``None`` if one has too
    few."""


def equity(sites: Sites) -> tuple[Characteristic, ...]:
    """In the protocol's order, of sites with exact counts."""
    asked = sites.protocol.document.get("subgroup", [])
    if not sites.exact:
        return ()
    made = [
        _characteristic(one, [_of(s.subgroups, one["name"]) for s in sites.exact]) for one in asked
    ]
    p = [found.p_sensitivity for found in made]
    adjusted = iter(holm([value for value in p if value is not None]))
    return tuple(
        Characteristic(
            found.name, found.kind, found.reference, found.tolerated, found.levels,
            None if found.p_sensitivity is None else next(adjusted),
        )
        for found in made
    )  # fmt: skip


def _of(subgroups: Sequence[Subgroup], name: str) -> Subgroup:
    return next(subgroup for subgroup in subgroups if subgroup.name == name)


def _characteristic(asked: Mapping[str, Any], at_sites: Sequence[Subgroup]) -> Characteristic:
    levels, reference = list(asked["levels"]), asked["reference_level"]
    tolerated = asked.get("tolerated", USUALLY_TOLERATED)
    tables = {level: [s.tables[s.levels.index(level)] for s in at_sites] for level in levels}
    compare = _Comparison(tables[reference], tolerated, simultaneous_alpha(len(levels) - 1))
    made = tuple(_level(level, tables[level], compare) for level in levels)
    found = [level.sensitivity for level in made]
    return Characteristic(asked["name"], asked["kind"], reference, tolerated, made, _p(found))


@dataclass(frozen=True, slots=True)
class _Comparison:
    reference: Sequence[FlagTable]
    tolerated: float
    alpha: float


def _level(level: str, tables: Sequence[FlagTable], compare: _Comparison) -> LevelResult:
    whole = sum(tables, FlagTable())
    rates = operational(whole)
    of_reference = tables is compare.reference
    gaps = [None] * 3 if of_reference else [_gap(tables, compare, of) for of in _MEASURES]
    return LevelResult(level, _assessed(whole), rates.sensitivity, rates.specificity, *gaps)


def _assessed(table: FlagTable) -> Share:
    failed = failures(table).all_cases
    return Share(failed.cases - failed.hits, failed.cases)


_MEASURES: tuple[Callable[[FlagTable], Share], ...] = (
    _assessed,
    lambda table: operational(table).sensitivity,
    lambda table: operational(table).specificity,
)


def _gap(
    tables: Sequence[FlagTable], compare: _Comparison, of: Callable[[FlagTable], Share]
) -> Gap:
    level, reference = of(sum(tables, FlagTable())), of(sum(compare.reference, FlagTable()))
    if min(level.cases, reference.cases) < _FEWEST:
        return Gap(FEW, FEW, TooFewToSay(), _needed(level, reference, compare))
    crude = difference(level, reference, compare.alpha)
    strata = [Stratum(of(a), of(b)) for a, b in zip(tables, compare.reference, strict=True)]
    stratified = stratified_gap(strata, compare.alpha)
    crudely, by_site = verdict(crude, compare.tolerated), verdict(stratified, compare.tolerated)
    one = crudely if type(crudely) is type(by_site) else TooFewToSay()
    needed = _needed(level, reference, compare) if isinstance(one, TooFewToSay) else None
    return Gap(crude, stratified, one, needed)


def _needed(level: Share, reference: Share, compare: _Comparison) -> int | None:
    """With as many of the reference level as there are; ``None`` if those are too few already."""
    z = float(stats.norm.isf(compare.alpha / 2))
    usual = wilson(reference)
    if isinstance(usual, NotEstimable) or not reference.cases:
        return None
    share = min(max(usual.value, 0.05), 0.95)
    spread = share * (1 - share)
    left = (compare.tolerated / z) ** 2 - spread / reference.cases
    return max(level.cases + 1, math.ceil(spread / left)) if left > 0 else None


def _p(shares: Sequence[Share]) -> float | None:
    """Of one test for the whole characteristic."""
    used = [share for share in shares if share.cases]
    hits = np.array([[s.hits, s.cases - s.hits] for s in used], float)
    if len(used) < 2 or not hits.sum(0).all() or min(s.cases for s in used) < _FEWEST:
        return None
    return float(stats.chi2_contingency(hits, correction=False).pvalue)
