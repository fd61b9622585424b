"""What users of other programs reported, on ours: small inputs of the same kind."""

import itertools

import numpy as np
import pytest

from tests.trial.data_for_tests import known
from tests.trial.waiting.hand_made import cases_at
from wsi_ai.trial.evidence.auroc import Cases, auroc, interval, separate_patients
from wsi_ai.trial.evidence.benefit import net_benefit_of_all
from wsi_ai.trial.evidence.calibration import Probabilities, expected_calibration_error
from wsi_ai.trial.evidence.clusters import clustered_share
from wsi_ai.trial.evidence.estimates import NotEstimable
from wsi_ai.trial.evidence.pooling import Effects, pool
from wsi_ai.trial.evidence.shares import Pairs, Share, clopper_pearson, mcnemar, wilson
from wsi_ai.trial.waiting.cases import Cases as Arrivals
from wsi_ai.trial.waiting.reading import Staff, waits_if_interrupted_s, waits_s
from wsi_ai.trial.waiting.worklist import Order


@pytest.mark.parametrize(("hits", "cases"), [(38, 38), (0, 77), (0, 30), (30, 30)])
def test_an_interval_ends_at_0_and_1(hits: int, cases: int) -> None:
    """statsmodels 7386, 2742, 2609: below 0, above 1, or no number."""
    for of in (wilson, clopper_pearson):
        found = known(of(Share(hits, cases)))
        assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("cases", [499, 500, 1000])
@pytest.mark.parametrize("alpha", [1e-7, 2e-6])
def test_no_miss_in_many_cases_is_not_taken_for_all_missed(cases: int, alpha: float) -> None:
    """statsmodels 9141, 9549: an upper bound near 1."""
    found = known(clopper_pearson(Share(0, cases), alpha))
    assert found.high == pytest.approx(1 - (alpha / 2) ** (1 / cases), rel=1e-9)


def test_scores_that_differ_by_little_are_in_order() -> None:
    """scikit-learn 3864: taken as ties."""
    truth = np.array([True, True, False, False])
    found = known(auroc(np.array([1e-300, 1e-10, 0.0, 0.0]), separate_patients(truth)))
    assert found.value == 1.0


def test_scores_of_less_precision_lose_no_count() -> None:
    """scikit-learn 34975, cmu-thesis 7: sums in the scores' own precision stop growing."""
    rng = np.random.default_rng(0)
    truth = rng.random(9000) < 0.5
    score = (truth + rng.normal(size=9000)).astype(np.float16)
    exact = auroc(score.astype(np.float64), separate_patients(truth))
    assert auroc(score, separate_patients(truth)) == exact


def test_more_pairs_than_32_bits_count_are_counted() -> None:
    """pROC 19: from 144,720 rows on the interval was 1 to 1."""
    rng = np.random.default_rng(1)
    truth = rng.random(144_720) < 0.5
    score = np.where(truth, rng.normal(1, 1, 144_720), rng.normal(0, 1, 144_720))
    found = known(interval(known(auroc(score, separate_patients(truth)))))
    assert found.low < 0.7602 < found.high
    assert found.high - found.low < 0.006


def test_one_case_of_a_kind_has_no_variance_and_says_so() -> None:
    """pROC 25, 27; confidenceinterval 14: no number, or an error."""
    truth = np.array([True, False, False, False])
    assert isinstance(auroc(np.arange(4.0), separate_patients(truth)), NotEstimable)
    of_one_patient = Cases(np.array([True, True, False, False]), np.array([0, 0, 1, 2]))
    assert isinstance(auroc(np.arange(4.0), of_one_patient), NotEstimable)


def test_an_area_is_never_more_than_1() -> None:
    """confidenceinterval 15: 1.0000001."""
    for m, n in itertools.product((2, 3, 7, 18, 32), (2, 3, 11, 49)):
        truth = np.repeat([True, False], [m, n])
        assert known(auroc(truth.astype(float), separate_patients(truth))).value == 1


def test_a_score_that_points_the_other_way_is_not_turned_round() -> None:
    """pROC 61: the direction was chosen by the data."""
    truth = np.array([True, True, True, False, False, False])
    score = np.array([0.1, 0.2, 0.5, 0.4, 0.8, 0.9])
    assert known(auroc(score, separate_patients(truth))).value == pytest.approx(1 / 9)


@pytest.mark.parametrize("each", [1, 5, 40])
def test_no_p_value_is_more_than_1(each: int) -> None:
    """mlxtend 851."""
    found = known(mcnemar(Pairs(3, each, each, 4)))
    assert found.exact_p == found.mid_p == 1 or found.mid_p < found.exact_p == 1
    assert found.chi_square == 0


def test_two_that_never_differ_have_no_p_value() -> None:
    """evaluate 795: division by 0; statsmodels gives no number."""
    assert isinstance(mcnemar(Pairs(10, 0, 0, 3)), NotEstimable)


def test_probabilities_of_exactly_0_and_1_are_in_a_band() -> None:
    """torchmetrics 3510: 1 in a band of its own; laya 39: 0 in none."""
    upper = Probabilities(np.array([0.95, 1.0]), np.array([True, False]))
    assert known(expected_calibration_error(upper)) == pytest.approx(0.475)
    lower = Probabilities(np.array([0.0, 0.05]), np.array([True, False]))
    assert known(expected_calibration_error(lower)) == pytest.approx(0.475)


def test_a_constant_probability_has_an_error() -> None:
    """TrustLens 163: bands fell together, and the error was 0."""
    data = Probabilities(np.full(10, 0.9), np.zeros(10, bool))
    assert known(expected_calibration_error(data)) == pytest.approx(0.9)


@pytest.mark.parametrize("threshold", [0, 1])
def test_a_threshold_without_a_rate_of_exchange_is_refused(threshold: float) -> None:
    """dcurves 21, rtichoke 43."""
    with pytest.raises(ValueError, match="threshold"):
        net_benefit_of_all(np.array([True, False]), threshold)


@pytest.mark.parametrize(
    "variance", [[1e-12, 1.0, 1e6, 3.0], [1e-9] * 4, [1e9] * 4, [1e-12, 1e-12, 1e9, 1e9]]
)
def test_sites_of_very_different_size_are_pooled_all_the_same(variance: list[float]) -> None:
    """gemtc 81, jamovi 1211, metafor 97: the search did not converge, or did not end."""
    found = known(pool(Effects(np.array([0.1, 5.0, -3.0, 0.2]), np.array(variance))))
    assert found.mean.low < found.mean.value < found.mean.high


def test_one_patient_s_cases_are_not_certain() -> None:
    """svy 96: an interval of width 0 from one cluster."""
    assert isinstance(clustered_share(np.ones(9, bool), np.zeros(9, np.int64)), NotEstimable)


def test_of_cases_that_come_at_once_each_rank_is_served_in_order() -> None:
    """ConcurrentSim 101: the first to ask was served first, whatever its rank."""
    cases = cases_at([0] * 6, flagged=(1, 2, 4), urgent=(4,))
    assert list(np.argsort(waits_s(cases, Staff(1), Order(0)))) == [4, 1, 2, 0, 3, 5]


def test_time_never_runs_backwards_for_who_was_interrupted() -> None:
    """simmer 187: the interrupted case ended before the one that interrupted it."""
    flags = np.array([False, True])
    cases = Arrivals(np.array([0, 2]), np.array([5, 20]), flags, flags, flags)
    assert waits_if_interrupted_s(cases, Staff(1), Order(0)).tolist() == [20, 0]
