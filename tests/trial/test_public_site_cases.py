"""What went wrong elsewhere with agreement, draws, drift, subgroups and failures, tried here."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tests.trial.data_for_tests import known
from tests.trial.protocols import document
from tests.trial.site_cases import analysis_of, opened_of, reference, slide, table
from wsi_ai.trial.analysis.results import results
from wsi_ai.trial.evidence.agreement import ONE_WORD, kappa
from wsi_ai.trial.evidence.auroc import Cases, separate_patients
from wsi_ai.trial.evidence.bootstrap import Draws, SiteScores, auroc_interval
from wsi_ai.trial.evidence.comparisons import holm
from wsi_ai.trial.evidence.drift import binned, decile_edges, stability_index, two_samples
from wsi_ai.trial.evidence.estimates import NotEstimable
from wsi_ai.trial.patients import Patient
from wsi_ai.trial.reference import Truth

ILL, WELL = Truth.CONDITION, Truth.NONE


def test_readers_who_use_one_word_have_no_kappa_rather_than_no_number() -> None:
    """scikit-learn 14256, 9624 and 29210: nan, then 0, then what the caller wants."""
    ones = np.ones(5, np.int64)
    assert kappa(ones, ones) is ONE_WORD


def test_readers_may_use_different_words() -> None:
    """skll 24: a shape error, because the second reader never says 3."""
    first, second = np.array([1, 2, 3, 3, 2, 1]), np.array([1, 1, 1, 2, 2, 2])
    assert known(kappa(first, second)).value == pytest.approx(cohen_kappa_score(first, second))


def test_fourteen_cases_give_a_wide_interval() -> None:
    """roc-utils 3: .894 to .897, the interval of a mean of draws."""
    score = np.array(
        [0.0184, 0.0127, 0.6588, 0.3824, 0.0753, 0.0285, 0.0939, 0.0913, 0.1393, 0.8083, 0.5678,
         0.7690, 0.6003, 0.4453]
    )  # fmt: skip
    one = SiteScores(score, separate_patients(np.arange(14) >= 8))
    found = known(auroc_interval([one], Draws(1)))
    assert found.value == pytest.approx(43 / 48)
    assert found.low < 0.72
    assert found.high == 1


def test_an_area_of_1_has_no_interval_of_width_0() -> None:
    """multiROC 4: "all values of t are equal to 1", and an error."""
    one = SiteScores(np.arange(20.0), separate_patients(np.arange(20) >= 10))
    assert isinstance(auroc_interval([one], Draws(1)), NotEstimable)


def test_the_estimate_is_inside_its_interval_however_few_draws_there_are() -> None:
    """CMAverse 50: two draws, and the estimate beside them."""
    rng = np.random.default_rng(2)
    one = SiteScores(rng.normal(size=30), separate_patients(rng.random(30) < 0.5))
    for seed in range(20):
        found = auroc_interval([one], Draws(seed, runs=2))
        if not isinstance(found, NotEstimable):
            assert found.low <= found.value <= found.high


def test_draws_without_a_patient_of_one_kind_are_not_left_out_without_a_word() -> None:
    """cutpointr 12: missing draws, of which nobody hears."""
    truth = np.arange(40) == 0
    one = SiteScores(np.arange(40.0), Cases(truth, np.arange(40)))
    found = auroc_interval([one], Draws(1))
    assert isinstance(found, NotEstimable)
    assert "too often no patient" in found.reason


@pytest.mark.parametrize(("before", "now"), [(881, 369), (1000, 1001), (3000, 2999), (12000, 500)])
def test_two_samples_far_apart_give_a_small_p_and_no_warning(before: int, now: int) -> None:
    """scipy 14019 and 12999: overflow, and a p of 1e-15 or less that is noise, or 1."""
    rng = np.random.default_rng(1)
    found = two_samples(rng.normal(size=before), rng.normal(size=now) + 1)
    assert not isinstance(found, NotEstimable)
    assert 0 <= found.p < 1e-12


def test_the_stability_index_is_finite_with_empty_bins_and_equal_edges() -> None:
    """probatus 115 and 112: infinite; an error where deciles fall together."""
    baseline = np.array([0.0] * 60 + list(np.linspace(0.1, 1, 40)))
    edges = decile_edges(baseline)
    index = stability_index(binned(baseline, edges), binned(np.full(30, 0.95), edges))
    assert math.isfinite(index)
    assert index > 0.25


def test_adjusted_p_values_keep_their_order_and_all_may_be_small() -> None:
    """Scylla 288: .02 and then .011; replicability-analysis 1: out of bounds."""
    assert holm([0.01, 0.011]) == pytest.approx((0.02, 0.02))
    assert holm([1e-5] * 3) == pytest.approx([3e-5] * 3)


def test_failures_stay_in_the_denominator() -> None:
    """Frontier-CS 161, lm-evaluation-harness 4062, inspect_ai 4286: 108 of 148 instead of 172."""
    found = results(opened_of(analysis_of(*table({ILL: (108, 40, 24), WELL: (9, 9, 0)}))))
    accuracy = found["accuracy"]
    assert accuracy["operational"]["sensitivity"]["value"] == 108 / 172
    assert accuracy["assessed_only"]["sensitivity"]["value"] == 108 / 148


def of_groups(people: dict[str, str], truth: dict[str, Truth]) -> dict[str, Any]:
    slides = [slide(case, 0.9) for case in truth]
    references = [reference(case, of) for case, of in truth.items()]
    patients = {f"p{case}": Patient({"ethnic_category": code}) for case, code in people.items()}
    made = document()
    made["subgroup"][0]["levels"] = ["white", "mixed", "asian"]
    made["subgroup"][0].pop("expected_shares")
    found: dict[str, Any] = results(
        opened_of(analysis_of(slides, references, patients, made), protocol=made)
    )["equity"][0]
    return found


def test_groups_that_are_small_empty_or_of_one_truth_are_there_and_nothing_looks_fair() -> None:
    """fairness_pipeline 29: they disappear, and the gap is 0 with an interval of 0 to 0."""
    truth = {f"w{k}": ILL for k in range(30)} | {f"d{k}": WELL for k in range(30)}
    people = {case: "A" if case[0] == "w" else "D" for case in truth}
    found = of_groups(people, truth)
    assert [(one["level"], one["cases"]) for one in found["levels"]] == [
        ("white", 30), ("mixed", 30), ("asian", 0),
    ]  # fmt: skip
    for gap in found["gaps"]:
        assert gap["sensitivity"]["value"] is None
        assert gap["sensitivity"]["verdict"] == "too few to say"


def test_people_of_whom_a_group_is_not_known_keep_their_cases() -> None:
    """fairlearn 1725: dropped without a word; torchmetrics 3489: given to another group."""
    truth = {f"c{k}": ILL for k in range(20)}
    found = of_groups({"c0": "L", "c1": "Z"}, truth)
    cases = {one["level"]: one["cases"] for one in found["levels"]}
    assert cases == {"white": 0, "mixed": 0, "asian": 1, "not_stated": 19}
