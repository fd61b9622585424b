"""Two models on the same cases: in how many is one right where the other is not?"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from wsi_ai.trial.analysis.accuracy import Found, Rules, shown
from wsi_ai.trial.analysis.cases import Bools, CaseTable
from wsi_ai.trial.analysis.summing import Analysis
from wsi_ai.trial.evidence.auroc import AreaDifference, compare
from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable
from wsi_ai.trial.evidence.shares import McNemar, Pairs, mcnemar, paired_difference

NO_COMPARATOR = NotEstimable("no second model was run on these cases")


def comparisons(first: Analysis, others: Mapping[str, Analysis], rules: Rules) -> list[Found]:
    """Operational: a case that one of them did not assess counts as not expedited by it.  First
    minus second, of cases that are in the primary result of both."""
    return [_comparison(name, first, other, rules) for name, other in sorted(others.items())]


def sensitivity_gain(
    first: Analysis, others: Mapping[str, Analysis], rules: Rules, alpha: float = ALPHA
) -> Estimate | NotEstimable:
    """Of the index test over the only comparator."""
    if len(others) != 1:
        return NO_COMPARATOR
    one, other = _same_cases(first, next(iter(others.values())))
    few = rules.few(int(one.truth.sum()))
    return few or paired_difference(_pairs(one.expedited, other.expedited, one.truth), alpha)


def _comparison(name: str, first: Analysis, second: Analysis, rules: Rules) -> Found:
    one, other = _same_cases(first, second)
    ill, well = one.truth, ~one.truth
    return {
        "comparator": name,
        "cases": len(one.cases),
        "sensitivity": _gain(_pairs(one.expedited, other.expedited, ill), rules),
        "specificity": _gain(_pairs(~one.expedited, ~other.expedited, well), rules),
        "auroc": _area_gain(one, other, rules),
    }


def _same_cases(first: Analysis, second: Analysis) -> tuple[CaseTable, CaseTable]:
    """In one order."""
    tables = first.primary, second.primary
    known = [{one.joined.identity for one in table.cases} for table in tables]
    both = known[0] & known[1]
    one, other = (
        table.where([case.joined.identity in both for case in table.cases]) for table in tables
    )
    return one, other


def _pairs(first: Bools, second: Bools, among: Bools) -> Pairs:
    one, other = first[among], second[among]
    counts = ((one & other), (one & ~other), (~one & other), (~one & ~other))
    return Pairs(*(int(np.count_nonzero(count)) for count in counts))


def _gain(pairs: Pairs, rules: Rules) -> Found:
    few = rules.few(pairs.first.cases)
    tested = few or mcnemar(pairs)
    return {
        **asdict(pairs),
        **shown(few or paired_difference(pairs)),
        "mcnemar": asdict(tested) if isinstance(tested, McNemar) else None,
    }


def _area_gain(one: CaseTable, other: CaseTable, rules: Rules) -> Found:
    few = rules.few(min(int(one.truth.sum()), int((~one.truth).sum())))
    found = few or compare(one.place, other.place, one.clustered)
    if isinstance(found, AreaDifference):
        return {**shown(found.estimate), "p": found.p}
    return {**shown(found), "p": None}
