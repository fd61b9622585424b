"""Patients drawn anew: the same as drawing them one by one, and the same for everybody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.trial.data_for_tests import LAW, cancer, column, known
from wsi_ai.trial.evidence.auroc import Cases, auroc, interval, separate_patients
from wsi_ai.trial.evidence.bootstrap import (
    Draws,
    SiteScores,
    auroc_interval,
    share_interval,
)
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable


def site(seed: int, cases: int = 60, patients: int = 40) -> SiteScores:
    rng = np.random.default_rng(seed)
    truth = rng.random(cases) < 0.4
    score = np.round(rng.normal(truth * 1.0), 1)
    score[rng.random(cases) < 0.1] = -np.inf
    return SiteScores(score, Cases(truth, rng.integers(0, patients, cases)))


@LAW
@given(st.integers(0, 10_000))
def test_weights_give_what_drawing_patients_one_by_one_gives(seed: int) -> None:
    """Every draw is made again with the same numbers, and its area by scikit-learn."""
    one, draws = site(seed), Draws(seed, runs=15)
    _, of = np.unique(one.cases.patient, return_inverse=True)
    patients = int(of.max()) + 1
    rng, areas = np.random.default_rng(seed), []
    for weights in rng.multinomial(patients, np.full(patients, 1 / patients), 15):
        rows = np.concatenate(
            [np.repeat(np.flatnonzero(of == k), times) for k, times in enumerate(weights)]
        )
        place = np.where(np.isinf(one.score), -99, one.score)
        areas.append(roc_auc_score(one.cases.truth[rows], place[rows]))
    found = known(auroc_interval([one], draws))
    assert [found.low, found.high] == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=1e-12)


def test_the_bootstrap_of_a_known_model_is_near_the_formula() -> None:
    data = cancer()
    cases = separate_patients(data.truth)
    formula = known(interval(known(auroc(data.probability, cases))))
    drawn = known(auroc_interval([SiteScores(data.probability, cases)], Draws(1)))
    assert drawn.value == pytest.approx(formula.value, abs=1e-12)
    assert (drawn.low, drawn.high) == pytest.approx((formula.low, formula.high), abs=0.01)
    assert column("cancerpredmarker").shape == data.truth.shape


def test_pairs_of_two_sites_are_never_compared() -> None:
    """The second site's scores are all higher, and nothing follows from it."""
    one, other = site(1), site(2)
    higher = SiteScores(other.score + 100, other.cases)
    draws = Draws(3, runs=200)
    assert auroc_interval([one, higher], draws) == auroc_interval([one, other], draws)


def test_everybody_twice_changes_nothing_where_patients_are_drawn() -> None:
    one = site(4)
    twice = Cases(np.tile(one.cases.truth, 2), np.tile(one.cases.patient, 2))
    draws = Draws(5, runs=200)
    doubled = known(auroc_interval([SiteScores(np.tile(one.score, 2), twice)], draws))
    single = known(auroc_interval([one], draws))
    assert (doubled.low, doubled.high) == pytest.approx((single.low, single.high), abs=1e-12)


def test_the_draws_are_the_same_however_many_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, draws = site(6), Draws(7, runs=50)
    at_once = auroc_interval([one], draws)
    monkeypatch.setattr("wsi_ai.trial.evidence.bootstrap._AT_ONCE", 150)
    assert auroc_interval([one], draws) == at_once


def test_one_class_ties_and_two_patients_are_not_estimable() -> None:
    draws = Draws(1, runs=100)
    truth = np.array([True, False] * 20)
    tied = SiteScores(np.ones(40), separate_patients(truth))
    assert isinstance(auroc_interval([tied], draws), NotEstimable)
    only = SiteScores(np.arange(5.0), separate_patients(np.ones(5, bool)))
    assert isinstance(auroc_interval([only], draws), NotEstimable)
    two = SiteScores(np.arange(2.0), separate_patients(np.array([False, True])))
    assert isinstance(auroc_interval([two], draws), NotEstimable)
    assert isinstance(auroc_interval([], draws), NotEstimable)
    assert isinstance(share_interval(np.ones(9, bool), np.arange(9), draws), NotEstimable)
    assert isinstance(share_interval(np.ones(0, bool), np.arange(0), draws), NotEstimable)


def test_patients_with_many_cases_widen_the_interval_of_a_share() -> None:
    hit = np.tile([True, False, True, True, True], 20)
    alone = known(share_interval(hit, np.arange(100), Draws(1)))
    of_five = known(share_interval(np.repeat(hit[:20], 5), np.repeat(np.arange(20), 5), Draws(1)))
    assert isinstance(alone, Estimate)
    assert of_five.high - of_five.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"alpha": 0.0}])
def test_draws_make_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"run or more|between 0 and 1"):
        Draws(1, **wrong)  # type: ignore[arg-type]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a score is a number"):
        SiteScores(np.array([np.nan]), separate_patients(np.array([True])))
