"""Every case is counted once, and a failure is never worth more than an answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW, known
from wsi_ai.core.flags import Level
from wsi_ai.trial.evidence.accuracy import not_assessed, operational
from wsi_ai.trial.evidence.estimates import NotEstimable
from wsi_ai.trial.evidence.shares import Share
from wsi_ai.trial.join import (
    NEVER_RAN,
    JoinedCase,
    SlideAnswer,
    WhyNot,
    flag_table,
    join,
    operational_area,
    roll_up,
)
from wsi_ai.trial.reference import Identity, Reference, Truth

THRESHOLD = 0.5


def case(number: int) -> Identity:
    return Identity("RXX", "", str(number))


def slide(number: int, score: float | None) -> SlideAnswer:
    level = Level.NOT_ASSESSED if score is None else Level.STANDARD
    if score is not None and score >= THRESHOLD:
        level = Level.EXPEDITE
    return SlideAnswer(case(number), level, score, THRESHOLD)


def reference(number: int, truth: Truth, *, saw_ai: bool = False) -> Reference:
    return Reference(case(number), f"p{number}", truth, "", saw_ai, times_in_order=True)


SCORES = st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=5)


@LAW
@given(SCORES)
def test_a_case_is_rolled_up_as_its_flags_act(scores: list[float | None]) -> None:
    found = roll_up([slide(1, score) for score in scores])
    assessed = [score for score in scores if score is not None]
    if max(assessed, default=0) >= THRESHOLD:
        assert found.level is Level.EXPEDITE
    elif None in scores:
        assert found.level is Level.NOT_ASSESSED
    else:
        assert found.level is Level.STANDARD
    assert found.slides_not_assessed == scores.count(None)


@LAW
@given(SCORES, st.none() | st.floats(0, 1))
def test_a_further_slide_never_makes_a_case_less_urgent(
    scores: list[float | None], more: float | None
) -> None:
    urgency = [Level.STANDARD, Level.NOT_ASSESSED, Level.EXPEDITE]
    slides = [slide(1, score) for score in scores]
    before, after = roll_up(slides).level, roll_up([*slides, slide(1, more)]).level
    assert urgency.index(after) >= urgency.index(before)


KINDS = list(
    itertools.product((None, 0.1, 0.9, "no flag"), (*Truth, "no reference"), (False, True))
)


@LAW
@given(st.lists(st.sampled_from(KINDS), max_size=20))
def test_every_case_of_either_side_is_there_once(kinds: list[tuple[object, object, bool]]) -> None:
    slides = [slide(k, s) for k, (s, _, _) in enumerate(kinds) if s != "no flag"]  # type: ignore[arg-type]
    references = [
        reference(k, t, saw_ai=saw) for k, (_, t, saw) in enumerate(kinds) if isinstance(t, Truth)
    ]
    found = join(slides, references)
    assert len(found) == sum(s != "no flag" or t != "no reference" for s, t, _ in kinds)
    table = flag_table(found)
    counted = table.with_condition.cases + table.without.cases
    assert counted == sum(c.why_not is None for c in found)
    assert table.unknown.cases == sum(c.why_not is WhyNot.NO_REFERENCE for c in found)


def test_a_case_that_never_ran_is_a_failure_and_not_a_gap() -> None:
    found = join([slide(1, 0.9)], [reference(1, Truth.CONDITION), reference(2, Truth.CONDITION)])
    assert [c.never_ran for c in found] == [False, True]
    table = flag_table(found)
    assert operational(table).sensitivity == Share(1, 2)
    assert not_assessed(table).with_condition == Share(1, 2)


def test_a_flag_without_a_reference_stands_beside_the_result() -> None:
    (found,) = join([slide(1, 0.9)], [])
    assert found.why_not is WhyNot.NO_REFERENCE
    assert flag_table([found]).unknown.expedite == 1


def test_a_reference_from_who_saw_the_flag_is_no_part_of_the_result() -> None:
    (found,) = join([slide(1, 0.9)], [reference(1, Truth.CONDITION, saw_ai=True)])
    assert found.why_not is WhyNot.SAW_FLAG
    assert flag_table([found]) == flag_table([])


def test_a_case_that_was_not_assessed_waits_behind_all_in_the_area_too() -> None:
    """A cancer whose one slide has a middling score and whose other one failed."""
    slides = [slide(1, 0.4), slide(1, None), slide(2, 0.9), slide(3, 0.1), slide(4, 0.2)]
    truths = (Truth.CONDITION, Truth.CONDITION, Truth.NONE, Truth.NONE)
    found = join(slides, [reference(k, truth) for k, truth in enumerate(truths, 1)])
    assert known(operational_area(found)).value == 0.5


def test_cases_of_one_patient_are_one_cluster_and_patients_of_two_trusts_are_two() -> None:
    identities = [Identity(trust, "", str(k)) for trust in ("RXX", "RYY") for k in range(2)]
    cases = [
        JoinedCase(i, "p", truth, roll_up([SlideAnswer(i, Level.EXPEDITE, 0.9, 0.5)]), None)
        for i, truth in zip(identities, (Truth.CONDITION, Truth.NONE) * 2, strict=True)
    ]
    assert known(operational_area(cases)).value == 0.5
    assert isinstance(operational_area(cases[:2]), NotEstimable)


def test_a_case_with_two_references_is_refused() -> None:
    with pytest.raises(ValueError, match="two references"):
        join([], [reference(1, Truth.NONE), reference(1, Truth.CONDITION)])


def test_a_level_that_its_score_does_not_give_is_noticed() -> None:
    assert not SlideAnswer(case(1), Level.STANDARD, 0.7, THRESHOLD).consistent
    assert SlideAnswer(case(1), Level.EXPEDITE, 0.5, THRESHOLD).consistent
    assert roll_up([]) == NEVER_RAN
    for level, score in ((Level.NOT_ASSESSED, 0.3), (Level.STANDARD, None)):
        with pytest.raises(ValueError, match="score"):
            SlideAnswer(case(1), level, score, THRESHOLD)
