"""How often the flag was right: three estimands side by side, failures never left out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from wsi_ai.trial.analysis.cases import AnalysedCase, Bools, CaseTable, primary
from wsi_ai.trial.documents import Document
from wsi_ai.trial.evidence.accuracy import FlagTable, bounds_of_missing_reference
from wsi_ai.trial.evidence.agreement import kappa
from wsi_ai.trial.evidence.auroc import Area, auroc, interval
from wsi_ai.trial.evidence.bootstrap import Draws, SiteScores, auroc_interval
from wsi_ai.trial.evidence.clusters import clustered_interval, clustered_share
from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable
from wsi_ai.trial.evidence.looks import obrien_fleming
from wsi_ai.trial.evidence.shares import Share, wilson
from wsi_ai.trial.join import WhyNot, flag_table
from wsi_ai.trial.reference import Truth

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the protocol says of estimates."""

    least: int
    """Of a class with fewer cases nothing is estimated."""
    seed: int
    """Of the bootstrap: of the protocol's digest, so that nobody chooses it."""

    def few(self, cases: int) -> NotEstimable | None:
        return NotEstimable("too few cases of one kind") if cases < self.least else None


def shown(value: Estimate | NotEstimable) -> Found:
    """For results.json: ``null`` where there is none, and why."""
    if isinstance(value, NotEstimable):
        return {"value": None, "low": None, "high": None, "why": value.reason}
    return {"value": value.value, "low": value.low, "high": value.high}


def share(
    hit: Bools, among: Bools, table: CaseTable, rules: Rules, alpha: float = ALPHA
) -> Estimate | NotEstimable:
    """Of the cases ``among``, with their patients as clusters."""
    if few := rules.few(int(among.sum())):
        return few
    found = clustered_share(hit[among], table.patient[among])
    return found if isinstance(found, NotEstimable) else clustered_interval(found, alpha)


def rates(table: CaseTable, rules: Rules, alpha: float = ALPHA) -> dict[str, Any]:
    """Sensitivity and specificity by estimand."""
    ill, well = table.truth, ~table.truth
    waits, right = ~table.expedited, ~table.expedited & ~table.failed
    done = ~table.failed
    pairs = {
        "operational": ((table.expedited, ill), (waits, well)),
        "worst_case": ((table.expedited, ill), (right, well)),
        "assessed_only": ((table.expedited, ill & done), (right, well & done)),
    }
    return {
        estimand: {
            "sensitivity": share(*of_ill, table, rules, alpha),
            "specificity": share(*of_well, table, rules, alpha),
        }
        for estimand, (of_ill, of_well) in pairs.items()
    }


def areas(table: CaseTable, rules: Rules, alpha: float = ALPHA) -> dict[str, Any]:
    """AUROC, as the list has the cases, and of those that were assessed."""
    assessed = table.where(~table.failed)
    return {
        "operational": area(table, rules, alpha),
        "assessed_only": area(assessed, rules, alpha),
    }


def area(table: CaseTable, rules: Rules, alpha: float = ALPHA) -> Estimate | NotEstimable:
    if few := rules.few(min(int(table.truth.sum()), int((~table.truth).sum()))):
        return few
    found = auroc(table.place, table.clustered)
    return interval(found, alpha) if isinstance(found, Area) else found


def drawn_area(table: CaseTable, rules: Rules) -> Estimate | NotEstimable:
    """The bootstrap's interval beside the formula's."""
    if few := rules.few(min(int(table.truth.sum()), int((~table.truth).sum()))):
        return few
    return auroc_interval([SiteScores(table.place, table.clustered)], Draws(rules.seed))


def shown_pairs(found: dict[str, Any]) -> Found:
    """Nested estimates, for results.json."""
    return {
        name: shown_pairs(value) if isinstance(value, dict) else shown(value)
        for name, value in found.items()
    }


def accuracy(table: CaseTable, rules: Rules) -> Found:
    ill, waits = table.truth, ~table.expedited
    standard = waits & ~table.failed
    return {
        **shown_pairs(rates(table, rules)),
        "predictive": {
            "condition_if_expedite": shown(share(ill, table.expedited, table, rules)),
            "none_if_standard": shown(share(~ill, standard, table, rules)),
            "none_if_not_expedited": shown(share(~ill, waits, table, rules)),
        },
        "auroc": {
            **shown_pairs(areas(table, rules)),
            "operational_bootstrap": shown(drawn_area(table, rules)),
        },
    }


def not_assessed(cases: Sequence[AnalysedCase], rules: Rules) -> Found:
    """Split by truth and by reason; it stands beside every specificity, which gains from it."""
    shares: Found = {}
    groups = by_truth(cases)
    everybody = CaseTable(tuple(one for group in groups.values() for one in group))
    for name, table in {"all": everybody, **_tables(groups)}.items():
        all_of_them = np.ones(len(table.cases), bool)
        shares[name] = shown(share(table.failed, all_of_them, table, rules))
    return {"share": shares, "reasons": reasons(groups)}


def by_truth(cases: Sequence[AnalysedCase]) -> dict[str, list[AnalysedCase]]:
    """The columns of the flag table."""
    known = {Truth.CONDITION: "with_condition", Truth.NONE: "without"}
    found: dict[str, list[AnalysedCase]] = {"with_condition": [], "without": [], "unknown": []}
    for one in cases:
        if one.joined.why_not is WhyNot.NO_REFERENCE:
            found["unknown"].append(one)
        elif one.counts:
            found[known[one.joined.truth]].append(one)
    return found


def reasons(groups: dict[str, list[AnalysedCase]]) -> list[Found]:
    counts = {name: Counter(one.reason for one in group) for name, group in groups.items()}
    codes = sorted({code for of_group in counts.values() for code in of_group if code})
    return [{"code": code, **{name: counts[name][code] for name in counts}} for code in codes]


def _tables(groups: dict[str, list[AnalysedCase]]) -> dict[str, CaseTable]:
    return {name: CaseTable(tuple(group)) for name, group in groups.items()}


def table_of(cases: Sequence[AnalysedCase]) -> FlagTable:
    return flag_table(one.joined for one in cases)


def missing_reference(table: FlagTable, rules: Rules) -> Found:
    """However the cases without a reference fall, the operational rates are within."""
    bounds = bounds_of_missing_reference(table)
    return {
        name: {
            measure: shown(rules.few(of.cases) or wilson(of))
            for measure, of in (
                ("sensitivity", some.sensitivity),
                ("specificity", some.specificity),
            )
        }
        for name, some in (
            ("verified_only", bounds.verified_only),
            ("least", bounds.least),
            ("greatest", bounds.greatest),
        )
    }


def verification(table: FlagTable) -> Found:
    """Levels among cases with and without a reference: in a silent trial they should not differ."""
    known, unknown = table.with_condition + table.without, table.unknown
    return {
        "expedited_with_reference": shown(wilson(Share(known.expedite, known.cases))),
        "expedited_without": shown(wilson(Share(unknown.expedite, unknown.cases))),
    }


def primary_result(table: CaseTable, protocol: Document, rules: Rules, look: int) -> Found:
    """The one question that was asked before: met where the whole interval is above the goal."""
    asked = protocol["primary"]
    alpha = two_sided(protocol, look)
    key = {"operational": "operational", "assessed": "assessed_only"}[asked["estimand"]]
    value: Estimate | NotEstimable
    if asked["measure"] == "auroc":
        value = areas(table, rules, alpha)[key]
    else:
        value = rates(table, rules, alpha)[key][asked["measure"]]
    met = None if isinstance(value, NotEstimable) else value.low > asked["goal"]
    names = ("measure", "estimand", "goal")
    return {
        **{n: asked[n] for n in names},
        "look": look,
        "alpha": alpha,
        **shown(value),
        "met": met,
    }


def difference_result(gain: Estimate | NotEstimable, protocol: Document, look: int) -> Found:
    """Of sensitivities, first minus second: met where what is lost, if anything, is less than the
    margin; without a margin, where something is gained."""
    asked = protocol["primary"]
    margin = asked.get("margin", 0.0)
    met = None if isinstance(gain, NotEstimable) else gain.low > -margin
    names = ("measure", "estimand", "goal")
    said = {"margin": margin, "look": look, "alpha": two_sided(protocol, look)}
    return {**{name: asked[name] for name in names}, **said, **shown(gain), "met": met}


def two_sided(protocol: Document, look: int) -> float:
    """The alpha of a look's interval."""
    looks = len(protocol.get("look", ()))
    alpha = 2 * protocol["primary"]["alpha"]
    if looks < 2:
        return float(alpha)
    return float(2 * stats.norm.sf(obrien_fleming(looks, alpha)[look - 1]))


def agreement(cases: Sequence[AnalysedCase]) -> Found:
    """Between the reference and the second reader, where there was one."""
    both = [
        (one.reference.truth is Truth.CONDITION, one.reference.second is Truth.CONDITION)
        for one in cases
        if one.reference is not None
        and one.reference.second is not None
        and one.reference.truth in (Truth.CONDITION, Truth.NONE)
    ]
    readers = np.array(both, np.int64).reshape(-1, 2)
    return {"cases": len(both), "kappa": shown(kappa(readers[:, 0], readers[:, 1]))}


def indeterminate_ways(cases: Sequence[AnalysedCase], rules: Rules) -> Found:
    """An appendix: cases of no sure truth left out, all with the condition, all without."""
    found = {}
    for name, truth in (("positive", Truth.CONDITION), ("negative", Truth.NONE)):
        turned = [
            replace(one, joined=replace(one.joined, truth=truth, why_not=None))
            if one.joined.why_not is WhyNot.INDETERMINATE
            else one
            for one in cases
        ]
        found[name] = shown_pairs(rates(primary(turned), rules)["operational"])
    found["exclude"] = shown_pairs(rates(primary(cases), rules)["operational"])
    return found
