"""For whom is it worse?  Each level of a characteristic beside the reference level, over sites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from wsi_ai.trial.analysis.equity import TOLERATED
from wsi_ai.trial.bundle import levels_of
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.evidence.accuracy import FlagTable, operational
from wsi_ai.trial.evidence.accuracy import not_assessed as failures
from wsi_ai.trial.evidence.comparisons import holm, simultaneous_alpha
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.gaps import (
    Stratum,
    TooFewToSay,
    Verdict,
    cases_to_say,
    stratified_gap,
    verdict,
)
from wsi_ai.trial.evidence.shares import Share, difference
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.sums import Subgroup

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
    """Of the level, were it as good as the reference; ``None`` where it is said, where there are as
    many already, and where the reference has too few itself."""


@dataclass(frozen=True, slots=True)
class LevelResult:
    """One level; its gaps are ``None`` for the reference level itself, and for slides that do not
    say their scanner."""

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
    """That no level's sensitivity differs, adjusted over characteristics; of levels with eight
    cases or more, and ``None`` with fewer than two of these."""


def equity(sites: Sites) -> tuple[Characteristic, ...]:
    """In the protocol's order, of sites with exact counts."""
    asked = sites.protocol.document.get("subgroup", [])
    if not sites.exact:
        return ()
    levels = levels_of(sites.protocol)
    made = [
        _characteristic(
            one, levels[one["name"]], [_of(sums.subgroups, one["name"]) for sums in sites.exact]
        )
        for one in asked
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


def _characteristic(
    asked: Mapping[str, Any], levels: Sequence[str], at_sites: Sequence[Subgroup]
) -> Characteristic:
    """Levels without a case are left out, but for the protocol's own."""
    reference, tolerated = asked["reference_level"], asked.get("tolerated", TOLERATED)
    tables = {level: [_table(subgroup, level) for subgroup in at_sites] for level in levels}
    used = [x for x in levels if x in asked["levels"] or sum(tables[x], FlagTable()) != FlagTable()]
    named = used if asked["kind"] != "technical" else [x for x in used if x in asked["levels"]]
    alpha = simultaneous_alpha(len(named) - 1)
    compare = _Comparison(tables[reference], tolerated, alpha, tuple(named))
    made = tuple(_level(level, tables[level], compare) for level in used)
    found = [
        level.sensitivity
        for level in made
        if level.level in named and level.sensitivity.cases >= _FEWEST
    ]
    return Characteristic(asked["name"], asked["kind"], reference, tolerated, made, _p(found))


def _table(subgroup: Subgroup, level: str) -> FlagTable:
    found = dict(zip(subgroup.levels, subgroup.tables, strict=True))
    return found.get(level, FlagTable())


@dataclass(frozen=True, slots=True)
class _Comparison:
    reference: Sequence[FlagTable]
    tolerated: float
    alpha: float
    levels: tuple[str, ...]
    """Those that are compared: what no slide says of its scanner is no scanner."""


def _level(level: str, tables: Sequence[FlagTable], compare: _Comparison) -> LevelResult:
    whole = sum(tables, FlagTable())
    rates = operational(whole)
    alone = tables is compare.reference or level not in compare.levels
    gaps = [None] * 3 if alone else [_gap(tables, compare, of) for of in _MEASURES]
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
    needed = cases_to_say(reference, compare.tolerated, compare.alpha)
    if min(level.cases, reference.cases) < _FEWEST:
        return Gap(FEW, FEW, TooFewToSay(), needed)
    crude = difference(level, reference, compare.alpha)
    strata = [Stratum(of(a), of(b)) for a, b in zip(tables, compare.reference, strict=True)]
    stratified = stratified_gap(strata, compare.alpha)
    crudely, by_site = verdict(crude, compare.tolerated), verdict(stratified, compare.tolerated)
    one = crudely if type(crudely) is type(by_site) else TooFewToSay()
    more = needed is not None and needed > level.cases
    return Gap(crude, stratified, one, needed if more and isinstance(one, TooFewToSay) else None)


def _p(shares: Sequence[Share]) -> float | None:
    """Of one test for the whole characteristic."""
    hits = np.array([[s.hits, s.cases - s.hits] for s in shares], float)
    if len(shares) < 2 or not hits.sum(0).all():
        return None
    return float(stats.chi2_contingency(hits, correction=False).pvalue)
