"""Failures stay in the count, whichever way they are counted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW
from wsi_ai.trial.evidence.accuracy import (
    FlagTable,
    Levels,
    assessed_only,
    bounds_of_missing_reference,
    not_assessed,
    operational,
    predictive,
    worst_case,
)
from wsi_ai.trial.evidence.shares import Share

EXAMPLE = FlagTable(Levels(92, 5, 3), Levels(40, 350, 10))
LEVELS = st.builds(Levels, *(st.integers(0, 60) for _ in range(3)))
TABLES = st.builds(FlagTable, LEVELS, LEVELS, LEVELS)


def rate(share: Share) -> float:
    return share.hits / share.cases


def test_the_example_of_the_specification_comes_out() -> None:
    assert operational(EXAMPLE).sensitivity == Share(92, 100)
    assert operational(EXAMPLE).specificity == Share(360, 400)
    assert worst_case(EXAMPLE).specificity == Share(350, 400)
    assert assessed_only(EXAMPLE).sensitivity == Share(92, 97)
    assert assessed_only(EXAMPLE).specificity == Share(350, 390)
    assert not_assessed(EXAMPLE).all_cases == Share(13, 500)
    found = predictive(EXAMPLE)
    assert (found.none_if_standard, found.none_if_not_expedited) == (
        Share(350, 355),
        Share(360, 368),
    )
    assert found.condition_if_expedite == Share(92, 132)


@LAW
@given(TABLES)
def test_leaving_failures_out_never_makes_a_rate_worse(table: FlagTable) -> None:
    flattering, honest = assessed_only(table), worst_case(table)
    for good, bad in (
        (flattering.sensitivity, honest.sensitivity),
        (flattering.specificity, honest.specificity),
        (operational(table).specificity, honest.specificity),
    ):
        if good.cases and bad.cases:
            assert rate(good) >= rate(bad)


@LAW
@given(TABLES, st.sampled_from(["with_condition", "without"]))
def test_a_case_that_fails_is_never_worth_more_than_one_that_was_right(
    table: FlagTable, group: str
) -> None:
    """One more failure in the place of one right answer."""
    levels: Levels = getattr(table, group)
    right = "expedite" if group == "with_condition" else "standard"
    if not getattr(levels, right):
        return
    failed = replace(
        levels,
        **{right: getattr(levels, right) - 1, "not_assessed": levels.not_assessed + 1},
    )
    worse = replace(table, **{group: failed})
    for estimand in (operational, worst_case):
        before, after = estimand(table), estimand(worse)
        assert after.sensitivity.hits <= before.sensitivity.hits
        assert after.specificity.hits <= before.specificity.hits
        assert after.sensitivity.cases == before.sensitivity.cases
        assert after.specificity.cases == before.specificity.cases


@LAW
@given(TABLES, st.data())
def test_a_missing_reference_moves_a_rate_no_further_than_its_bounds(
    table: FlagTable, data: st.DataObject
) -> None:
    """Whatever the cases without a reference really are."""
    ill, well = {}, {}
    for level in ("expedite", "standard", "not_assessed"):
        cases = getattr(table.unknown, level)
        ill[level] = data.draw(st.integers(0, cases))
        well[level] = cases - ill[level]
    known = replace(table, unknown=Levels())
    truth = operational(known + FlagTable(Levels(**ill), Levels(**well)))
    found = bounds_of_missing_reference(table)
    for name in ("sensitivity", "specificity"):
        low, exact, high = (getattr(a, name) for a in (found.least, truth, found.greatest))
        if exact.cases:
            assert not low.cases or rate(low) <= rate(exact) + 1e-12
            assert not high.cases or rate(exact) <= rate(high) + 1e-12
    assert found.verified_only == operational(known)


@LAW
@given(st.lists(TABLES, min_size=2, max_size=4))
def test_tables_of_sites_add_up_in_any_order(tables: list[FlagTable]) -> None:
    forth, back = tables[0], tables[-1]
    for table in tables[1:]:
        forth = forth + table
    for table in tables[-2::-1]:
        back = table + back
    assert forth == back


def test_no_case_is_no_rate() -> None:
    assert operational(FlagTable()).sensitivity == Share(0, 0)
    with pytest.raises(ValueError, match="0 or more"):
        Levels(-1)
