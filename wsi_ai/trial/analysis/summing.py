"""What goes into bundles: sums over a site's cases, made from the same table as its report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsi_ai.core.flags import Level
from wsi_ai.trial.analysis.accuracy import by_truth, reasons, table_of
from wsi_ai.trial.analysis.cases import AnalysedCase, CaseTable, primary
from wsi_ai.trial.analysis.equity import levels_of
from wsi_ai.trial.documents import Document
from wsi_ai.trial.evidence.auroc import auroc
from wsi_ai.trial.evidence.clusters import clustered_share
from wsi_ai.trial.evidence.drift import binned, decile_edges, stability_index
from wsi_ai.trial.join import WhyNot
from wsi_ai.trial.opened import OpenedSlide
from wsi_ai.trial.sums import (
    SCORE_EDGES,
    Flow,
    Histogram,
    Mix,
    MixKind,
    Month,
    Origin,
    Reason,
    SiteSums,
    Subgroup,
    plain_name,
)

_LEAST = 8


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Of one reference: every eligible case, and the slides that stand."""

    cases: tuple[AnalysedCase, ...]
    slides: tuple[OpenedSlide, ...]

    @property
    def primary(self) -> CaseTable:
        return primary(self.cases)

    @property
    def eligible(self) -> tuple[AnalysedCase, ...]:
        return tuple(one for one in self.cases if one.joined.why_not is not WhyNot.NOT_ELIGIBLE)


def site_sums(analysis: Analysis, origin: Origin, protocol: Document) -> SiteSums:
    cases, table = analysis.eligible, analysis.primary
    assessed = table.where(~table.failed)
    return SiteSums(
        origin=origin,
        flags=table_of(cases),
        subgroups=tuple(_subgroup(cases, one) for one in protocol.get("subgroup", ())),
        reasons=tuple(Reason(**one) for one in reasons(by_truth(cases))),
        area=auroc(table.place, table.clustered),
        area_assessed=auroc(assessed.place, assessed.clustered),
        sensitivity=clustered_share(table.expedited[table.truth], table.patient[table.truth]),
        specificity=clustered_share(~table.expedited[~table.truth], table.patient[~table.truth]),
        histogram=Histogram(
            _bins(assessed.place[assessed.truth]), _bins(assessed.place[~assessed.truth])
        ),
        flow=_flow(cases, analysis.slides),
        months=_months(cases),
        mix=_mix(analysis.slides),
    )


def _subgroup(cases: Sequence[AnalysedCase], subgroup: Document) -> Subgroup:
    levels = levels_of(CaseTable(tuple(cases)), subgroup)
    name = subgroup["name"]
    tables = [table_of([one for one in cases if one.levels[name] == level]) for level in levels]
    return Subgroup(name, tuple(levels), tuple(tables))


def _bins(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, ...]:
    inside = np.clip(scores, SCORE_EDGES[0], SCORE_EDGES[-1])
    return tuple(int(n) for n in np.histogram(inside, SCORE_EDGES)[0])


def _flow(cases: Sequence[AnalysedCase], slides: Sequence[OpenedSlide]) -> Flow:
    why = Counter(one.joined.why_not for one in cases)
    never = (one for one in cases if one.joined.never_ran)
    return Flow(
        slides=len(slides),
        cases=len(cases),
        never_ran=sum(one.joined.why_not in (None, WhyNot.NO_REFERENCE) for one in never),
        indeterminate=why[WhyNot.INDETERMINATE],
        unblinded=why[WhyNot.SAW_FLAG],
        off_protocol=why[WhyNot.OFF_PROTOCOL],
    )


def month_of(one: AnalysedCase) -> str:
    """In which its first slide was sealed."""
    return min(slide.sealed_at for slide in one.slides)[:7]


def _months(cases: Sequence[AnalysedCase]) -> tuple[Month, ...]:
    of_month: dict[str, list[AnalysedCase]] = {}
    for one in cases:
        if one.slides:
            of_month.setdefault(month_of(one), []).append(one)
    names = sorted(of_month)
    return tuple(_month(name, of_month[name], of_month[names[0]]) for name in names)


def _month(name: str, cases: list[AnalysedCase], first: list[AnalysedCase]) -> Month:
    levels = Counter(one.joined.answer.level for one in cases)
    now, then = _scores(cases), _scores(first)
    stability = None
    if cases is not first and min(len(now), len(then)) >= _LEAST:
        edges = decile_edges(then)
        stability = stability_index(binned(then, edges), binned(now, edges))
    return Month(name, len(cases), levels[Level.EXPEDITE], levels[Level.NOT_ASSESSED], stability)


def _scores(cases: Sequence[AnalysedCase]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found = CaseTable(tuple(cases))
    return found.place[~found.failed]


def _mix(slides: Sequence[OpenedSlide]) -> tuple[Mix, ...]:
    all_of, failed = Counter[tuple[MixKind, str]](), Counter[tuple[MixKind, str]]()
    for slide in slides:
        for kind in MixKind:
            key = kind, plain_name(slide.source[kind.value])
            all_of[key] += 1
            failed[key] += bool(slide.reason)
    return tuple(Mix(*key, all_of[key], failed[key]) for key in sorted(all_of))
