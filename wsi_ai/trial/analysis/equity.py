"""For whom is it worse?  Every level of every characteristic; "too few to say" is an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from wsi_ai.trial.analysis.accuracy import Found, Rules, area, shown
from wsi_ai.trial.analysis.cases import CaseTable
from wsi_ai.trial.documents import Document
from wsi_ai.trial.evidence.comparisons import holm, simultaneous_alpha
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.gaps import NotWorse, Worse, cases_to_say, verdict
from wsi_ai.trial.evidence.shares import Share, difference, wilson

TOLERATED = 0.1
"""Where the protocol does not say."""
_MEASURES = ("not_assessed", "sensitivity", "specificity")
_WORDS = {Worse: "worse", NotWorse: "no worse than is tolerated"}
_TOO_FEW = "too few to say"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Of one characteristic."""

    reference: str
    tolerated: float
    alpha: float
    """Of each gap, so that all hold at once."""
    rules: Rules


def equity(table: CaseTable, protocol: Document, rules: Rules) -> list[Found]:
    """In the order of the protocol, with p values of the characteristics adjusted after Holm."""
    found = [_characteristic(table, subgroup, rules) for subgroup in protocol.get("subgroup", ())]
    tested = [one for one in found if one["p"] is not None]
    for one, adjusted in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_holm"] = adjusted
    return found


def levels_of(table: CaseTable, subgroup: Document) -> list[str]:
    """The protocol's, and what else there is."""
    there = {one.levels[subgroup["name"]] for one in table.cases}
    return [*subgroup["levels"], *sorted(there - set(subgroup["levels"]))]


def part(table: CaseTable, name: str, level: str) -> CaseTable:
    return table.where([one.levels[name] == level for one in table.cases])


def _characteristic(table: CaseTable, subgroup: Document, rules: Rules) -> Found:
    name, levels = subgroup["name"], levels_of(table, subgroup)
    parts = {level: part(table, name, level) for level in levels}
    others = [level for level in levels if level != subgroup["reference_level"]]
    asked = _Asked(
        reference=subgroup["reference_level"],
        tolerated=subgroup.get("tolerated", TOLERATED),
        alpha=simultaneous_alpha(max(1, len(others))),
        rules=rules,
    )
    return {
        "name": name,
        "kind": subgroup["kind"],
        "reference_level": asked.reference,
        "tolerated": asked.tolerated,
        "levels": [_level(level, parts[level], rules) for level in levels],
        "gaps": [_gaps(level, parts, asked) for level in others],
        "p": _global_p(list(parts.values()), rules),
        "p_holm": None,
    }


def _level(level: str, table: CaseTable, rules: Rules) -> Found:
    times = [s.to_flag_s for one in table.cases for s in one.slides if s.to_flag_s is not None]
    enough = len(table.cases) >= rules.least
    return {
        "level": level,
        "cases": len(table.cases),
        "with_condition": int(table.truth.sum()),
        **{name: shown(_estimate(table, name, rules)) for name in _MEASURES},
        "condition_if_expedite": shown(_estimate(table, "predictive", rules)),
        "auroc": shown(area(table, rules)),
        "median_to_flag_s": float(np.median(times)) if times and enough else None,
    }


def _share(table: CaseTable, measure: str) -> Share:
    """Counts: a level's cases are too few for clusters of patients."""
    among, hit = {
        "not_assessed": (np.ones(len(table.cases), bool), table.failed),
        "sensitivity": (table.truth, table.expedited),
        "specificity": (~table.truth, ~table.expedited),
        "predictive": (table.expedited, table.truth),
    }[measure]
    return Share(int((hit & among).sum()), int(among.sum()))


def _estimate(table: CaseTable, measure: str, rules: Rules) -> Estimate | NotEstimable:
    found = _share(table, measure)
    return rules.few(found.cases) or wilson(found)


def _gaps(level: str, parts: dict[str, CaseTable], asked: _Asked) -> Found:
    return {
        "level": level,
        **{name: _gap(name, parts[level], parts[asked.reference], asked) for name in _MEASURES},
    }


def _gap(measure: str, level: CaseTable, reference: CaseTable, asked: _Asked) -> Found:
    """Level minus reference; a share not assessed is worse where it is greater."""
    one, other = _share(level, measure), _share(reference, measure)
    few = asked.rules.few(min(one.cases, other.cases))
    alone = few or difference(one, other)
    together = few or difference(one, other, asked.alpha)
    judged = _turned(together) if measure == "not_assessed" else together
    words = _WORDS.get(type(verdict(judged, asked.tolerated)), _TOO_FEW)
    found: Found = {**shown(alone), "simultaneous": shown(together), "verdict": words}
    if words == _TOO_FEW:
        base = Share(other.cases - other.hits, other.cases) if measure == "not_assessed" else other
        found["would_do"] = cases_to_say(base, asked.tolerated, asked.alpha)
    return found


def _turned(gap: Estimate | NotEstimable) -> Estimate | NotEstimable:
    return gap if isinstance(gap, NotEstimable) else Estimate(-gap.value, -gap.high, -gap.low)


def _global_p(parts: Sequence[CaseTable], rules: Rules) -> float | None:
    """That sensitivity is the same at all levels, of those with enough cases."""
    shares: list[Any] = [_share(table, "sensitivity") for table in parts]
    shares = [one for one in shares if one.cases >= rules.least]
    counts = np.array([[one.hits, one.cases - one.hits] for one in shares])
    if len(shares) < 2 or not counts.sum(0).all():
        return None
    return float(stats.chi2_contingency(counts, correction=False).pvalue)
