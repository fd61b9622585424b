"""What a model says has moved, or has not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.service.drift import LEAST_BEFORE, LEAST_NOW, Judged, moved


def answers(number: int, expedite: float, middle: float, seed: int) -> list[Judged]:
    chance = random.Random(seed)
    return [
        Judged(
            "expedite" if chance.random() < expedite else "standard",
            min(1.0, max(0.0, chance.gauss(middle, 0.1))),
        )
        for _ in range(number)
    ]


BEFORE = answers(1000, 0.1, 0.3, 1)


def whats(now: list[Judged], before: list[Judged] = BEFORE) -> list[str]:
    return [one.what for one in moved(now, before)]


def test_more_to_expedite_than_chance_explains_is_told() -> None:
    assert whats(answers(100, 0.4, 0.3, 2)) == ["share to expedite"]


def test_scores_that_move_are_told_though_no_level_does() -> None:
    (found,) = moved(answers(100, 0.1, 0.45, 3), BEFORE)
    assert found.what == "median score"
    assert found.sigmas > 3
    assert found.before == pytest.approx(0.3, abs=0.02)


def test_a_scanner_whose_slides_cannot_be_assessed_is_told() -> None:
    blurred = answers(60, 0.1, 0.3, 4) + [Judged("not_assessed", None)] * 20
    assert whats(blurred) == ["share not assessed"]


def test_of_the_same_answers_about_three_in_a_thousand_are_told() -> None:
    told = sum(len(whats(answers(100, 0.1, 0.3, seed))) for seed in range(10, 410))
    assert told <= 12


@given(st.integers(0, LEAST_NOW - 1), st.integers(0, 300))
def test_from_few_slides_nothing_follows(now: int, before: int) -> None:
    assert whats([Judged("expedite", 1.0)] * now, [Judged("standard", 0.0)] * before) == []
    assert whats([Judged("expedite", 1.0)] * 300, [Judged("standard", 0.0)] * min(99, before)) == []


JUDGED = st.builds(
    Judged,
    st.sampled_from(["expedite", "standard", "not_assessed"]),
    st.none() | st.floats(0, 1),
)


@given(st.lists(JUDGED, min_size=LEAST_NOW, max_size=60),
       st.lists(JUDGED, min_size=LEAST_BEFORE, max_size=140))  # fmt: skip
def test_whatever_the_answers_are_it_reckons(now: list[Judged], before: list[Judged]) -> None:
    for one in moved(now, before):
        assert abs(one.sigmas) > 3
