"""Rules over objects: monotone as every rule is, and right where counting by hand is easy."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.models_for_tests import red_network, write_model
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.errors import PolicyError
from wsi_ai.triage.counting import HotSpot, ObjectCount
from wsi_ai.triage.policy import load_policy
from wsi_ai.triage.rules import AnyOf, Area, Evidence, Spots

FIELD = np.full((10, 10), 0.0)
RULES = (ObjectCount(3), HotSpot(3, 2.0), ObjectCount(1), HotSpot(12, 0.5))


def evidence(scores: np.ndarray, at_mm: np.ndarray) -> Evidence:
    return Evidence(FIELD, FIELD == 0, 1.0, Spots(scores, at_mm))


def crowd(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(count), rng.random((count, 2)) * 8


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), count=st.integers(0, 60), more=st.integers(0, 20))
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_more_objects_or_surer_ones_never_lower_a_score(
    rule: ObjectCount | HotSpot, seed: int, count: int, more: int
) -> None:
    scores, places = crowd(seed, count + more)
    before = rule.score(evidence(scores[:count], places[:count]))
    raised = np.minimum(1, scores + np.linspace(0, 0.3, len(scores)))
    assert rule.score(evidence(scores, places)) >= before
    assert rule.score(evidence(raised, places)) >= before


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), count=st.integers(0, 40))
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_score_is_the_highest_threshold_at_which_it_is_met(
    rule: ObjectCount | HotSpot, seed: int, count: int
) -> None:
    scores, places = crowd(seed, count)
    found = rule.score(evidence(scores, places))
    for threshold in [*scores, 1e-6]:
        high = scores >= threshold
        met = rule.score(evidence(scores[high], places[high])) > 0
        assert met == (found >= threshold)


def test_a_hot_spot_is_where_objects_lie_in_one_square() -> None:
    """1 mm²: three within 0.9 mm, one that lies 1.03 mm from the first of them, one far away."""
    at = np.array([[2.0, 2.0], [2.9, 2.9], [2.5, 2.1], [3.03, 2.9], [2.0, 4.2]])
    spots = evidence(np.full(5, 0.8), at)
    assert HotSpot(3, 1.0).score(spots) == 0.8
    assert HotSpot(4, 1.0).score(spots) == 0.0
    assert HotSpot(5, 10.0).score(spots) == 0.8


def test_what_was_not_seen_may_hold_as_many_as_a_tile_can() -> None:
    scores = FIELD.copy()
    scores[4, 4] = np.nan
    none = Spots(np.empty(0), np.empty((0, 2)))
    best = Evidence(scores, FIELD == 0, 1.0, none, missed_spots=7).at_best()
    for rule in (ObjectCount(7), HotSpot(7, 1.0)):
        assert rule.score(best) == 1.0
    for rule in (ObjectCount(8), HotSpot(8, 1.0)):
        assert rule.score(best) == 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), count=st.integers(0, 60), lost=st.integers(0, 60))
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_at_best_is_no_less_than_what_was_lost(
    rule: ObjectCount | HotSpot, seed: int, count: int, lost: int
) -> None:
    """Wherever it was."""
    scores, places = crowd(seed, count + lost)
    whole = rule.score(evidence(scores, places))
    seen = Evidence(
        FIELD, FIELD == 0, 1.0, Spots(scores[:count], places[:count]), missed_spots=lost
    )
    assert rule.score(seen.at_best()) >= whole


def test_policies_that_count(tmp_path: Path) -> None:
    assert load_policy(ROOT / "configs" / "objects.toml").triage.rule == ObjectCount(5000)
    assert load_policy(ROOT / "configs" / "hot-spot.toml").triage.rule == HotSpot(7, 2.37)
    file = tmp_path / "p.toml"
    file.write_text('name = "p"\n[rule]\nany = [{ objects = 3, within_mm2 = 1 }, { area_mm2 = 2 }]')
    assert load_policy(file).triage.rule == AnyOf((HotSpot(3, 1), Area(2)))
    for rule, told in (
        ("within_mm2 = 1", "within_mm2: says where objects are counted"),
        ("objects = 2\ntiles = 3", "rule: objects, tiles exclude each other"),
        ("objects = 0", "rule.objects: 0 is less than the minimum"),
    ):
        file.write_text(f'name = "p"\n[rule]\n{rule}')
        with pytest.raises(PolicyError, match=told):
            load_policy(file)


def test_a_model_that_finds_no_objects_cannot_be_counted_by(tmp_path: Path) -> None:
    model = write_model(tmp_path / "red", red_network())
    options = RunOptions(policy=ROOT / "configs" / "objects.toml")
    with pytest.raises(PolicyError, match=r"counts objects, and red is a tile-classification"):
        list(run_slides([tmp_path / "s.svs"], model, tmp_path / "out", options))
