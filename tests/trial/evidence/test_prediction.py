"""Where one more site may be: the interval by bootstrap holds it as often as it says."""

import os

import numpy as np
import pytest

from tests.trial.data_for_tests import bcg, known
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.pooling import Effects, pool
from wsi_ai.trial.evidence.prediction import bootstrap_prediction

RUNS = int(os.environ.get("WSI_AI_TRIAL_RUNS", "40"))


def drawn(rng: np.random.Generator, sites: int, spread: float) -> Effects:
    variance = rng.uniform(0.05, 0.4, sites)
    return Effects(rng.normal(rng.normal(2, spread, sites), np.sqrt(variance)), variance)


def test_a_further_site_is_inside_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(7)
    inside = 0
    for run in range(RUNS):
        found = known(bootstrap_prediction(drawn(rng, 8, 0.4), run))
        inside += found.low <= rng.normal(2, 0.4) <= found.high
    print(f"inside {inside} of {RUNS}")
    assert inside / RUNS > (0.85 if RUNS <= 50 else 0.92)


@pytest.mark.parametrize("apart", [0.0, 0.1, 0.5, 1.0])
def test_a_further_site_has_no_less_room_than_the_mean(apart: float) -> None:
    """Also where sites agree better than chance would have it."""
    sites = Effects(np.full(8, 1.0) + np.linspace(-apart, apart, 8), np.full(8, 0.2))
    pooled, found = known(pool(sites)), known(bootstrap_prediction(sites))
    assert found.high - found.low > 0.95 * (pooled.mean.high - pooled.mean.low)


def test_it_is_near_students_t_where_sites_surely_differ() -> None:
    """BCG: 13 studies, I² 92 %."""
    by_t, found = known(pool(bcg())).prediction, known(bootstrap_prediction(bcg()))
    assert isinstance(by_t, Estimate)
    for wide, narrow in ((found.low, by_t.low), (found.high, by_t.high)):
        assert 0 < abs(wide - found.value) - abs(narrow - found.value) < 0.35


def test_it_moves_and_stretches_with_the_estimates() -> None:
    effects = drawn(np.random.default_rng(1), 9, 0.3)
    one = known(bootstrap_prediction(effects))
    moved = known(bootstrap_prediction(Effects(effects.value + 5, effects.variance)))
    wider = known(bootstrap_prediction(Effects(effects.value * 3, effects.variance * 9)))
    assert moved.low == pytest.approx(one.low + 5)
    assert wider.high == pytest.approx(3 * one.high)
    assert known(bootstrap_prediction(effects)) == one
    assert known(bootstrap_prediction(effects, seed=1)) != one


def test_two_sites_say_nothing_of_a_third() -> None:
    two = Effects(np.array([1.0, 2.0]), np.array([0.1, 0.1]))
    assert isinstance(bootstrap_prediction(two), NotEstimable)
