"""The rule, and the two laws that make it safe."""

import dataclasses
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from wsi_ai.core.cards import Scope
from wsi_ai.core.flags import Check, Flag, Level, Quality, Status
from wsi_ai.core.geometry import Size, Spacing, Step
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.testing import MEAN_CARD
from wsi_ai.triage.gates import scope_gate
from wsi_ai.triage.judge import TriagePolicy, evidence_of, not_assessed, triage
from wsi_ai.triage.rules import AllOf, AnyOf, Area, Rule, Tiles, TopMean

GRID = (12, 16)
SLIDE = SlideInfo("s", Size(1024, 768), Spacing(0.5, 0.5), (1.0,), "f00d" * 16)
POLICY = TriagePolicy(rule=Area(0.01, 0.5), min_coverage=0.9)  # 10 of the 192 cells
GOOD = Quality((Check("focus", 1.0, 0.6, Status.PASS, "in focus"),), tissue_fraction=0.5)
BAD = Quality((Check("focus", 0.1, 0.6, Status.FAIL, "in focus"),), tissue_fraction=0.5)
CONCERN = {Level.STANDARD: 0, Level.NOT_ASSESSED: 1, Level.EXPEDITE: 2}

SCORES = npst.arrays(np.float32, GRID, elements=st.floats(0, 1, width=32))
MASKS = npst.arrays(np.bool_, GRID)
AREAS = st.builds(
    Area,
    area_mm2=st.floats(0.001, 0.2),
    tissue_share=st.floats(0.01, 1),
    smallest_region_mm2=st.just(0.0) | st.floats(0, 0.02),
)
SIMPLE: st.SearchStrategy[Rule] = (
    AREAS | st.builds(Tiles, st.integers(1, 30)) | st.builds(TopMean, st.integers(1, 30))
)
SEVERAL = st.lists(SIMPLE, min_size=1, max_size=3).map(tuple)
RULES: st.SearchStrategy[Rule] = SIMPLE | st.builds(AnyOf, SEVERAL) | st.builds(AllOf, SEVERAL)
POLICIES = st.builds(
    TriagePolicy,
    rule=RULES,
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
    policy: TriagePolicy = POLICY,
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
    policy: TriagePolicy,
) -> None:
    torn = np.where(lost, np.nan, scores)
    low = judge(torn, planned, policy=policy)
    high = judge(np.maximum(torn, raised), planned, policy=policy)
    assert CONCERN[low.level] <= CONCERN[high.level]


@given(scores=SCORES, planned=MASKS, lost=MASKS, policy=POLICIES)
def test_losing_tiles_never_makes_a_slide_look_standard(
    scores: np.ndarray, planned: np.ndarray, lost: np.ndarray, policy: TriagePolicy
) -> None:
    whole = judge(scores, planned, policy=policy)
    torn = judge(np.where(lost, np.nan, scores), planned, policy=policy)
    assert torn.level is not Level.STANDARD or whole.level is Level.STANDARD


@given(scores=SCORES, planned=MASKS, lost=MASKS, policy=POLICIES)
def test_losing_tiles_never_expedites_a_slide(
    scores: np.ndarray, planned: np.ndarray, lost: np.ndarray, policy: TriagePolicy
) -> None:
    whole = judge(scores, planned, policy=policy)
    torn = judge(np.where(lost, np.nan, scores), planned, policy=policy)
    assert torn.level is not Level.EXPEDITE or whole.level is Level.EXPEDITE


@given(scores=SCORES, planned=MASKS, lost=MASKS, policy=POLICIES)
def test_the_score_reaches_the_threshold_exactly_when_the_slide_is_expedited(
    scores: np.ndarray, planned: np.ndarray, lost: np.ndarray, policy: TriagePolicy
) -> None:
    flag = judge(np.where(lost, np.nan, scores), planned, policy=policy)
    if flag.score is not None:
        assert (flag.score >= flag.threshold) == (flag.level is Level.EXPEDITE)


@given(scores=SCORES, policy=POLICIES, order=st.randoms(), seen=st.integers(0, 192))
def test_a_rule_that_is_met_early_stays_met_whatever_the_order(
    scores: np.ndarray, policy: TriagePolicy, order: random.Random, seen: int
) -> None:
    tiles = list(np.ndindex(GRID))
    order.shuffle(tiles)
    early = np.full(GRID, np.nan, np.float32)
    for tile in tiles[:seen]:
        early[tile] = scores[tile]
    if judge(early, policy=policy).level is Level.EXPEDITE:
        assert judge(scores, policy=policy).level is Level.EXPEDITE


@given(scores=SCORES, threshold=st.floats(0.01, 0.99), smallest=st.integers(1, 4))
def test_an_area_rule_counts_only_regions_that_are_large_enough(
    scores: np.ndarray, threshold: float, smallest: int
) -> None:
    """Against flood filling by hand."""
    rule = Area(10 * 0.001024, 1.0, smallest * 0.001024)
    counted, left = 0, {tuple(c) for c in np.argwhere(scores.astype(float) >= threshold).tolist()}
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            row, col = cell = edge.pop()
            region.add(cell)
            near = {(row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)} & left
            left -= near
            edge += near
        counted += len(region) * (len(region) >= smallest)
    assert (rule.score(evidence_of(heatmap(scores))) >= threshold) == (counted >= 10)


def test_rules_say_what_was_found_and_what_is_asked_for() -> None:
    rule = AllOf((Area(0.05), AnyOf((Tiles(60), TopMean(5)))))
    told = judge(some(50), policy=TriagePolicy(rule=rule)).reason
    assert told == (
        "0.05 mm² of tissue look like red (tile score 0.50 or more); the rule asks for 0.05 mm²"
        " (25 % of its tissue), and: 50 tiles look like red (score 0.50 or more);"
        " the rule asks for 60, or:"
        " the 5 tiles most like red score 0.90 on average; the rule asks for 0.50"
    )


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
    other = dataclasses.replace(SLIDE, digest="beef" * 16)
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


@pytest.mark.parametrize(
    ("scope", "vendor", "scanner", "reason"),
    [
        (Scope(mpp=(0.4, 0.6)), "unknown", "", None),
        (Scope(mpp=(0.2, 0.4)), "unknown", "", "made for slides of 0.2 to 0.4 µm/px"),
        (Scope(mpp=(0.51, 0.6)), "unknown", "", "the slide has 0.5 µm/px"),
        (Scope(scanners=("Hamamatsu", "Aperio")), "aperio", "", None),
        (Scope(scanners=("Leica GT450",)), "dicom", "Leica Biosystems GT450 DX", None),
        (Scope(scanners=("Aperio GT450",)), "aperio", "", "none of the scanners that the model is"),
        (Scope(scanners=("Aperio",)), "unknown", "", "made for (Aperio)"),
    ],
)
def test_a_slide_of_another_scanner_or_scale_is_stopped(
    scope: Scope, vendor: str, scanner: str, reason: str | None
) -> None:
    slide = dataclasses.replace(SLIDE, vendor=vendor, scanner=scanner)
    told = scope_gate(slide, dataclasses.replace(MEAN_CARD, scope=scope))
    assert (told is None) if reason is None else (told is not None and reason in told)


def test_the_area_in_the_reason_is_that_of_the_cells() -> None:
    assert judge(some(100)).reason.startswith(f"{100 * math.prod((32e-3, 32e-3)):.2f} mm²")
