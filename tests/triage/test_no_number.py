"""Where a value is no number at all, nothing is ever `standard`."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.triage.test_judge import GOOD, GRID, SLIDE, heatmap
from wsi_ai.core.flags import Level, Quality
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.testing import MEAN_CARD
from wsi_ai.tissue.quality import QualityLimits, _at_least, _at_most
from wsi_ai.triage.counting import HotSpot
from wsi_ai.triage.gates import quality_gate, scope_gate
from wsi_ai.triage.judge import TriagePolicy, triage
from wsi_ai.triage.rules import Area, Evidence

NONE = [math.nan, math.inf, -math.inf]


class Silent:
    """A rule of which no score is a number."""

    def __init__(self, score: float) -> None:
        self._score = score

    def score(self, evidence: Evidence) -> float:
        return self._score

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        return "?"


def forced(value: Any, **fields: float) -> Any:
    """With numbers that it would refuse if it were asked."""
    for name, number in fields.items():
        object.__setattr__(value, name, number)
    return value


@pytest.mark.parametrize("number", NONE)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: Area(area_mm2=n),
        lambda n: Area(tissue_share=n),
        lambda n: Area(smallest_region_mm2=n),
        lambda n: HotSpot(1, n),
        lambda n: TriagePolicy(threshold=n),
        lambda n: TriagePolicy(min_coverage=n),
        lambda n: QualityLimits(focus_min=n),
        lambda n: QualityLimits(pen_max=n),
        lambda n: QualityLimits(tissue_min=n),
        lambda n: dataclasses.replace(MEAN_CARD, mpp_tolerance=n),
        lambda n: dataclasses.replace(MEAN_CARD.point, threshold=n),
        lambda n: dataclasses.replace(MEAN_CARD.tile, mpp=n),
        lambda n: Spacing(n, 0.5),
    ],
)
def test_no_value_is_made_of_a_number_that_is_none(make: Any, number: float) -> None:
    with pytest.raises(ValueError, match=r"\d|nan|inf"):
        make(number)


@pytest.mark.parametrize("score", [math.nan, -math.nan])
def test_a_rule_without_an_answer_is_not_assessed(score: float) -> None:
    flag = triage(heatmap(np.zeros(GRID, np.float32)), TriagePolicy(rule=Silent(score)), GOOD)
    assert flag.level is Level.NOT_ASSESSED


@given(threshold=st.sampled_from([math.nan]), coverage=st.floats(0, 1) | st.just(math.nan))
def test_a_threshold_that_is_no_number_is_never_stayed_below(
    threshold: float, coverage: float
) -> None:
    policy = forced(TriagePolicy(rule=Area(0.01, 0.5)), threshold=threshold, min_coverage=coverage)
    for value in (0.0, 0.3, 1.0):
        flag = triage(heatmap(np.full(GRID, value, np.float32)), policy, GOOD)
        assert flag.level is not Level.STANDARD


@pytest.mark.parametrize("number", NONE)
def test_a_score_that_is_no_number_counts_as_unseen(number: float) -> None:
    scores = np.zeros(GRID, np.float32)
    scores[:8] = number
    flag = triage(heatmap(scores), TriagePolicy(rule=Area(0.01, 0.5), min_coverage=0.0), GOOD)
    assert flag.level is not Level.STANDARD


def test_the_scope_gate_is_shut_where_a_number_is_none() -> None:
    card = dataclasses.replace(MEAN_CARD)
    assert scope_gate(SLIDE, MEAN_CARD) is None
    assert scope_gate(SLIDE, forced(card, mpp_tolerance=math.nan)) is not None
    for x, y in ((math.nan, 0.5), (0.5, math.nan)):
        slide = SlideInfo("s", Size(9, 9), forced(Spacing(1, 1), x_um=x, y_um=y), (1.0,), "f" * 64)
        assert scope_gate(slide, MEAN_CARD) is not None


def test_the_quality_gate_is_shut_where_a_number_is_none() -> None:
    for value, limit in ((math.nan, 0.5), (0.5, math.nan)):
        checks = (_at_least("focus", value, limit, "x"), _at_most("pen", value, limit, "x"))
        for check in checks:
            assert quality_gate(Quality((check,), 0.5)) is not None
    assert quality_gate(Quality((), math.nan)) is not None
