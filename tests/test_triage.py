"""The rule, and the two laws that make it safe."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from wsi_ai.flags import Check, Flag, Level, Quality, Status
from wsi_ai.geometry import Size, Spacing, Step
from wsi_ai.testing import MEAN_CARD
from wsi_ai.triage import AreaPolicy, not_assessed, scope_gate, slide_score, triage
from wsi_ai.values import Heatmap, SlideInfo

GRID = (12, 16)
SLIDE = SlideInfo("s", Size(1024, 768), Spacing(0.5, 0.5), (1.0,), "f00d" * 16)
POLICY = AreaPolicy(area_mm2=0.01, tissue_share=0.5, min_coverage=0.9)  # 10 of the 192 cells
GOOD = Quality((Check("focus", 1.0, 0.6, Status.PASS, "in focus"),), tissue_fraction=0.5)
BAD = Quality((Check("focus", 0.1, 0.6, Status.FAIL, "in focus"),), tissue_fraction=0.5)
CONCERN = {Level.STANDARD: 0, Level.NOT_ASSESSED: 1, Level.EXPEDITE: 2}

SCORES = npst.arrays(np.float32, GRID, elements=st.floats(0, 1, width=32))
MASKS = npst.arrays(np.bool_, GRID)
POLICIES = st.builds(
    AreaPolicy,
    area_mm2=st.floats(0.001, 0.2),
    tissue_share=st.floats(0.01, 1),
    min_coverage=st.floats(0, 1),
    threshold=st.floats(0.01, 0.99),
)


def heatmap(scores: np.ndarray, planned: np.ndarray | None = None) -> Heatmap:
    planned = np.ones(GRID, bool) if planned is None else planned
    layer = np.where(planned, scores, np.nan).astype(np.float32)
    return Heatmap(SLIDE, MEAN_CARD, layer[np.newaxis], Step(64, 64), planned)


def judge(
    scores: np.ndarray,
    planned: np.ndarray | None = None,
    quality: Quality = GOOD,
    policy: AreaPolicy = POLICY,
) -> Flag:
    return triage(heatmap(scores, planned), policy, quality)


def some(positive: int, unseen: int = 0) -> np.ndarray:
    """Scores of which so many are high and so many missing."""
    scores = np.full(GRID[0] * GRID[1], 0.1, np.float32)
    scores[:positive] = 0.9
    scores[positive : positive + unseen] = np.nan
    return scores.reshape(GRID)


@given(scores=SCORES, raised=SCORES, planned=MASKS, lost=MASKS, policy=POLICIES)
def test_more_score_never_lowers_the_level(
    scores: np.ndarray,
    raised: np.ndarray,
    planned: np.ndarray,
    lost: np.ndarray,
    policy: AreaPolicy,
) -> None:
    torn = np.where(lost, np.nan, scores)
    low = judge(torn, planned, policy=policy)
    high = judge(np.maximum(torn, raised), planned, policy=policy)
    assert CONCERN[low.level] <= CONCERN[high.level]


@given(scores=SCORES, planned=MASKS, lost=MASKS, policy=POLICIES)
def test_losing_tiles_never_makes_a_slide_look_standard(
    scores: np.ndarray, planned: np.ndarray, lost: np.ndarray, policy: AreaPolicy
) -> None:
    whole = judge(scores, planned, policy=policy)
    torn = judge(np.where(lost, np.nan, scores), planned, policy=policy)
    assert torn.level is not Level.STANDARD or whole.level is Level.STANDARD


@given(scores=SCORES, planned=MASKS, lost=MASKS, policy=POLICIES)
def test_losing_tiles_never_expedites_a_slide(
    scores: np.ndarray, planned: np.ndarray, lost: np.ndarray, policy: AreaPolicy
) -> None:
    whole = judge(scores, planned, policy=policy)
    torn = judge(np.where(lost, np.nan, scores), planned, policy=policy)
    assert torn.level is not Level.EXPEDITE or whole.level is Level.EXPEDITE


@given(scores=SCORES, planned=MASKS, lost=MASKS)
def test_the_score_reaches_the_threshold_exactly_when_the_slide_is_expedited(
    scores: np.ndarray, planned: np.ndarray, lost: np.ndarray
) -> None:
    flag = judge(np.where(lost, np.nan, scores), planned)
    if flag.score is not None:
        assert (flag.score >= flag.threshold) == (flag.level is Level.EXPEDITE)


@given(scores=SCORES, threshold=st.floats(0.01, 0.99))
def test_the_slide_score_is_the_highest_threshold_that_would_expedite(
    scores: np.ndarray, threshold: float
) -> None:
    policy = dataclasses.replace(POLICY, threshold=threshold)
    expedited = triage(heatmap(scores), policy, GOOD).level is Level.EXPEDITE
    assert expedited == (slide_score(heatmap(scores), policy) >= threshold)


@pytest.mark.parametrize(
    ("positive", "unseen", "level"),
    [
        (10, 0, Level.EXPEDITE),
        (9, 0, Level.STANDARD),
        (9, 1, Level.NOT_ASSESSED),
        (10, 182, Level.EXPEDITE),  # enough evidence, even at low coverage
        (0, 9, Level.STANDARD),
        (0, 10, Level.NOT_ASSESSED),
        (0, 192, Level.NOT_ASSESSED),
    ],
)
def test_what_was_not_seen_counts_as_positive(positive: int, unseen: int, level: Level) -> None:
    assert judge(some(positive, unseen)).level is level


def test_low_coverage_is_never_standard_even_where_the_unseen_could_not_decide() -> None:
    strict = dataclasses.replace(POLICY, min_coverage=0.99)
    assert triage(heatmap(some(0, 5)), strict, GOOD).level is Level.NOT_ASSESSED


def test_a_failed_check_stops_even_a_positive_slide_and_says_why() -> None:
    flag = judge(some(192), quality=BAD)
    assert flag.level is Level.NOT_ASSESSED
    assert flag.score is None
    assert "in focus is 0.1, the limit 0.6" in flag.reason


def test_a_slide_without_planned_tiles_is_not_assessed() -> None:
    assert judge(some(0), np.zeros(GRID, bool)).level is Level.NOT_ASSESSED


def test_a_small_specimen_is_judged_by_its_share() -> None:
    """Five cells are planned: less tissue than the area asks for, all of it tumour."""
    planned = np.zeros(GRID, bool)
    planned[0, :5] = True
    assert judge(some(5), planned).level is Level.EXPEDITE
    assert judge(some(2), planned).level is Level.STANDARD


def test_a_score_that_is_no_number_is_not_an_answer() -> None:
    scores = some(9)
    scores[5, 5] = np.inf
    assert judge(scores).level is Level.NOT_ASSESSED


def test_the_flag_id_depends_on_slide_and_model_and_not_on_the_answer() -> None:
    low, high = judge(some(0)), judge(some(100))
    assert low.flag_id == high.flag_id
    other = dataclasses.replace(SLIDE, fingerprint="beef" * 16)
    assert not_assessed(other, MEAN_CARD, POLICY, "no", None).flag_id != low.flag_id


@pytest.mark.parametrize(
    ("spacing", "reason"),
    [
        (None, "no spacing in the file; give --mpp"),
        (Spacing(0.5, 0.5), None),
        (Spacing(0.25, 0.26), None),
        (Spacing(0.25, 0.27), "pixels are not square"),
        (Spacing(0.56, 0.56), "needs 0.5 µm/px or finer"),
    ],
)
def test_a_slide_outside_the_models_scope_is_stopped(
    spacing: Spacing | None, reason: str | None
) -> None:
    told = scope_gate(dataclasses.replace(SLIDE, spacing=spacing), MEAN_CARD)
    assert (told is None) if reason is None else (told is not None and reason in told)


def test_the_area_in_the_reason_is_that_of_the_cells() -> None:
    assert judge(some(100)).reason.startswith(f"{100 * math.prod((32e-3, 32e-3)):.2f} mm²")
