"""Probabilities beside what happened, and what acting on them is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from tests.trial.data_for_tests import LAW, cancer, known
from wsi_ai.trial.evidence.benefit import net_benefit, net_benefit_of_all
from wsi_ai.trial.evidence.calibration import (
    Probabilities,
    bands,
    brier,
    calibration,
    expected_calibration_error,
    spiegelhalter,
)
from wsi_ai.trial.evidence.estimates import NotEstimable

TENTHS = np.arange(11) / 10


@st.composite
def probabilities(draw: st.DrawFn) -> Probabilities:
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    p = rng.uniform(0.01, 0.99, draw(st.integers(8, 200)))
    return Probabilities(p, rng.random(len(p)) < special.expit(1.3 * special.logit(p) + 0.4))


@LAW
@given(probabilities())
def test_the_fit_is_where_the_likelihood_is_greatest(data: Probabilities) -> None:
    found = calibration(data)
    if isinstance(found, NotEstimable):
        return
    x, sign = special.logit(data.probability), np.where(data.truth, 1.0, -1.0)

    def loss(at: np.ndarray) -> float:
        return float(-special.log_expit(sign * (at[0] + at[1] * x)).sum())

    best = optimize.minimize(loss, [0.0, 1.0], method="BFGS")
    assert loss(np.array([found.intercept.value, found.slope.value])) <= best.fun + 1e-7
    shift = optimize.minimize_scalar(lambda a: loss(np.array([a, 1.0])))
    assert found.in_the_large.value == pytest.approx(shift.x, abs=1e-4)


@LAW
@given(probabilities())
def test_bands_hold_every_case_once_and_agree_with_scikit_learn(data: Probabilities) -> None:
    """No drawn score lies on an edge, where the two differ on purpose."""
    found = bands(data, TENTHS)
    assert sum(band.cases for band in found) == len(data.truth)
    observed, mean = calibration_curve(data.truth, data.probability, n_bins=10)
    assert [band.observed.value for band in found] == pytest.approx(observed)
    assert [band.mean_score for band in found] == pytest.approx(mean)
    assert known(brier(data)) == pytest.approx(brier_score_loss(data.truth, data.probability))


def test_a_score_at_the_threshold_is_in_the_band_of_those_that_are_flagged() -> None:
    data = Probabilities(np.array([0.3, 0.6, 0.7, 0.29999]), np.array([True] * 4))
    low, high = bands(data, np.array([0.0, 0.3, 1.0]))
    assert (low.cases, high.cases) == (1, 3)
    tenths = Probabilities(TENTHS, np.zeros(11, bool))  # 0.3 is below 3 * 0.1 in binary
    assert [band.cases for band in bands(tenths, TENTHS)] == [1] * 9 + [2]


@pytest.mark.parametrize("edges", [[0.0], [0.0, 0.5], [0.1, 1.0], [0.0, 0.5, 0.5, 1.0]])
def test_edges_that_leave_a_score_out_are_refused(edges: list[float]) -> None:
    with pytest.raises(ValueError, match="edges rise"):
        bands(cancer(), np.array(edges))


@pytest.mark.parametrize("wrong", [[1.1], [-0.1], [np.nan]])
def test_what_is_no_probability_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match=r"in 0\.\.1"):
        Probabilities(np.array(wrong), np.array([True]))


@pytest.mark.parametrize(
    ("p", "truth", "reason"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], "parts"),
        ([0.1, 0.2, 0.2, 0.9], [0, 0, 1, 1], "parts"),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], "parts"),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], "parts"),
        ([0.0, 0.2, 0.1, 0.9], [0, 1, 1, 0], "exactly 0 or 1"),
        ([1.0, 0.2, 0.1, 0.9], [0, 1, 1, 0], "exactly 0 or 1"),
        ([0.1, 0.2], [1, 1], "no cases"),
        ([], [], "no cases"),
    ],
)
def test_where_no_slope_is_best_there_is_none(
    p: list[float], truth: list[int], reason: str
) -> None:
    found = calibration(Probabilities(np.array(p, float), np.array(truth, bool)))
    assert isinstance(found, NotEstimable)
    assert reason in found.reason


def test_no_case_has_no_error() -> None:
    empty = Probabilities(np.zeros(0), np.zeros(0, bool))
    for of in (brier, expected_calibration_error, spiegelhalter):
        assert isinstance(of(empty), NotEstimable)


def test_a_perfect_calibration_is_rejected_one_time_in_twenty() -> None:
    rng, rejected = np.random.default_rng(3), 0
    for _ in range(400):
        p = rng.uniform(0.05, 0.95, 150)
        rejected += known(spiegelhalter(Probabilities(p, rng.random(150) < p))).p < 0.05
    assert 0.02 < rejected / 400 < 0.085


@LAW
@given(probabilities(), st.floats(0.01, 0.99))
def test_no_score_is_worth_more_than_the_truth(data: Probabilities, threshold: float) -> None:
    of_truth = known(net_benefit(data.truth.astype(float), data.truth, threshold))
    assert of_truth == pytest.approx(data.truth.mean())
    assert known(net_benefit(data.probability, data.truth, threshold)) <= of_truth + 1e-12
    of_all = known(net_benefit_of_all(data.truth, threshold))
    prevalence = float(data.truth.mean())
    assert of_all == pytest.approx(prevalence - (1 - prevalence) * threshold / (1 - threshold))


def test_a_score_at_the_threshold_is_acted_on_as_it_is_flagged() -> None:
    truth = np.array([True, False, False, False])
    scores = np.array([0.25, 0.25, 0.1, 0.0])
    assert known(net_benefit(scores, truth, 0.25)) == pytest.approx((1 - 1 / 3) / 4)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, np.nan])
def test_thresholds_at_which_errors_cost_nothing_or_all_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        net_benefit_of_all(np.array([True, False]), threshold)
