"""Intervals of shares hold what they should, as often as they should."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from tests.trial.data_for_tests import LAW, known
from wsi_ai.trial.evidence.clusters import ClusteredShare, clustered_interval, clustered_share
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.shares import (
    Pairs,
    Share,
    clopper_pearson,
    difference,
    mcnemar,
    paired_difference,
    wilson,
)

ALPHAS = st.sampled_from([0.05, 0.01, 1e-7, 0.5])


@st.composite
def a_share(draw: st.DrawFn) -> Share:
    cases = draw(st.integers(1, 2000))
    return Share(draw(st.integers(0, cases)), cases)


@LAW
@given(a_share(), ALPHAS)
def test_wilson_is_where_the_score_test_is_at_its_limit(share: Share, alpha: float) -> None:
    """By its definition, and not by its formula."""
    found, z = known(wilson(share, alpha)), stats.norm.isf(alpha / 2)
    for bound in (found.low, found.high):
        if 0 < bound < 1:
            score = (found.value - bound) / np.sqrt(bound * (1 - bound) / share.cases)
            assert abs(score) == pytest.approx(z, rel=1e-6)


@LAW
@given(a_share(), ALPHAS)
def test_clopper_pearson_is_what_scipy_gives(share: Share, alpha: float) -> None:
    found = known(clopper_pearson(share, alpha))
    other = stats.binomtest(share.hits, share.cases).proportion_ci(1 - alpha)
    assert found.low == pytest.approx(other.low, abs=1e-8)
    assert found.high == pytest.approx(other.high, abs=1e-8)


@LAW
@given(a_share())
def test_the_other_side_of_a_share_has_the_mirrored_interval(share: Share) -> None:
    for of in (wilson, clopper_pearson):
        found = known(of(share))
        other = known(of(Share(share.cases - share.hits, share.cases)))
        assert found.low == pytest.approx(1 - other.high, abs=1e-9)


@LAW
@given(a_share(), a_share())
def test_the_first_minus_the_second_mirrors_the_second_minus_the_first(
    first: Share, second: Share
) -> None:
    forth, back = known(difference(first, second)), known(difference(second, first))
    mirrored = (-forth.value, -forth.high, -forth.low)
    assert (back.value, back.low, back.high) == pytest.approx(mirrored, abs=1e-12)


@st.composite
def some_pairs(draw: st.DrawFn) -> Pairs:
    return Pairs(*(draw(st.integers(0, 60)) for _ in range(4)))


@LAW
@given(some_pairs().filter(lambda p: p.first.cases > 0))
def test_swapping_the_two_judgements_mirrors_their_difference(pairs: Pairs) -> None:
    swapped = Pairs(pairs.both, pairs.second_only, pairs.first_only, pairs.neither)
    forth, back = known(paired_difference(pairs)), known(paired_difference(swapped))
    mirrored = (-forth.value, -forth.high, -forth.low)
    assert (back.value, back.low, back.high) == pytest.approx(mirrored, abs=1e-12)


@pytest.mark.parametrize(
    ("pairs", "phi"),
    [
        (Pairs(3, 2, 2, 2), 0.0),  # alike by chance: no more than half the cases
        (Pairs(40, 5, 5, 10), (400 - 25 - 30) / (45 * 15)),
        (Pairs(36, 12, 2, 0), -24 / math.sqrt(48 * 2 * 38 * 12)),
    ],
)
def test_the_correlation_of_pairs_is_shrunk_where_it_would_narrow_the_interval(
    pairs: Pairs, phi: float
) -> None:
    """Newcombe 1998, Stat Med 17: 2635, method 10."""
    one, other, found = (
        known(wilson(pairs.first)),
        known(wilson(pairs.second)),
        known(paired_difference(pairs)),
    )
    down, up = one.value - one.low, other.high - other.value
    low = math.sqrt(down**2 - 2 * phi * down * up + up**2)
    assert found.low == pytest.approx(found.value - low)


@LAW
@given(some_pairs().filter(lambda p: p.first_only + p.second_only > 0))
def test_mcnemar_s_p_values_are_those_of_a_coin(pairs: Pairs) -> None:
    found = known(mcnemar(pairs))
    n, k = pairs.first_only + pairs.second_only, pairs.first_only
    exact = stats.binomtest(k, n).pvalue
    assert found.exact_p == pytest.approx(exact, rel=1e-9)
    half = sum(
        stats.binom.pmf(j, n, 0.5) * (0.5 if abs(2 * j - n) == abs(2 * k - n) else 1.0)
        for j in range(n + 1)
        if abs(2 * j - n) >= abs(2 * k - n)
    )
    assert found.mid_p == pytest.approx(half if 2 * k != n else found.mid_p, rel=1e-9)
    assert 0 < found.mid_p <= found.exact_p <= 1


@pytest.mark.parametrize("of", [wilson, clopper_pearson])
def test_no_case_is_no_share_and_never_zero(of: object) -> None:
    assert isinstance(of(Share(0, 0)), NotEstimable)  # type: ignore[operator]


def test_what_is_not_a_share_is_refused() -> None:
    for hits, cases in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="hits are some of the cases"):
            Share(hits, cases)
    for alpha in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="alpha"):
            wilson(Share(1, 2), alpha)


def coverage(of: object, truths: np.ndarray, cases: int) -> np.ndarray:
    """Exactly: over every number of hits."""
    found = [known(of(Share(k, cases))) for k in range(cases + 1)]  # type: ignore[operator]
    low, high = (np.array([getattr(e, end) for e in found]) for end in ("low", "high"))
    holds = (low <= truths[:, None]) & (truths[:, None] <= high)
    return (stats.binom.pmf(np.arange(cases + 1), cases, truths[:, None]) * holds).sum(1)


def test_the_interval_of_stopping_rules_never_holds_less_often_than_it_says() -> None:
    truths = np.linspace(0.01, 0.99, 41)
    assert coverage(clopper_pearson, truths, 60).min() >= 0.95
    assert coverage(wilson, truths, 60).mean() == pytest.approx(0.95, abs=0.01)


def draw_patients(rng: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray]:
    """One to eight cases each; what they are is mostly the patient's."""
    cases = rng.integers(1, 9, patients)
    patient = np.repeat(np.arange(patients), cases)
    own = rng.beta(1.8, 0.2, patients)[patient]
    return rng.random(len(patient)) < own, patient


def test_with_several_cases_a_patient_the_interval_still_holds_the_truth() -> None:
    rng, runs = np.random.default_rng(5), 250
    clustered = naive = 0
    for _ in range(runs):
        hit, patient = draw_patients(rng, 80)
        found = clustered_interval(known(clustered_share(hit, patient)))
        clustered += found.low <= 0.9 <= found.high
        other = known(wilson(Share(int(hit.sum()), len(hit))))
        naive += other.low <= 0.9 <= other.high
    assert clustered / runs > 0.9
    assert naive / runs < 0.85


@st.composite
def clusters(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    number = draw(st.integers(2, 30))
    hit = draw(st.lists(st.booleans(), min_size=number, max_size=number))
    patient = draw(st.lists(st.integers(0, 9), min_size=number, max_size=number))
    return np.array(hit), np.array(patient)


@LAW
@given(clusters().filter(lambda c: len(set(c[1])) > 1), st.integers(2, 4))
def test_looking_at_every_case_several_times_teaches_nothing(
    table: tuple[np.ndarray, np.ndarray], times: int
) -> None:
    hit, patient = table
    once = known(clustered_share(hit, patient))
    again = known(clustered_share(np.tile(hit, times), np.tile(patient, times)))
    assert again.value == pytest.approx(once.value)
    assert again.variance == pytest.approx(once.variance)


@LAW
@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_with_one_case_a_patient_the_interval_is_wilson_s(hits: list[bool]) -> None:
    found = known(clustered_share(np.array(hits), np.arange(len(hits))))
    own, other = clustered_interval(found), known(wilson(Share(sum(hits), len(hits))))
    assert (own.low, own.high) == pytest.approx((other.low, other.high), abs=1e-12)


@LAW
@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_with_one_case_a_patient_the_variance_is_the_usual_one(hits: list[bool]) -> None:
    found = known(clustered_share(np.array(hits), np.arange(len(hits))))
    assert found.variance == pytest.approx(found.value * (1 - found.value) / (len(hits) - 1))


def test_the_variance_over_patients_is_that_of_patients_drawn_again() -> None:
    hit, patient = draw_patients(np.random.default_rng(2), 60)
    rows = [np.flatnonzero(patient == p) for p in range(60)]
    rng, drawn = np.random.default_rng(3), []
    for _ in range(1500):
        at = np.concatenate([rows[p] for p in rng.integers(0, 60, 60)])
        drawn.append(hit[at].mean())
    error = math.sqrt(known(clustered_share(hit, patient)).variance)
    assert error == pytest.approx(np.std(drawn), rel=0.1)


def test_where_all_cases_are_hits_they_count_as_patients() -> None:
    hit, patient = np.ones(40, bool), np.repeat(np.arange(5), 8)
    found = clustered_interval(known(clustered_share(hit, patient)))
    assert found.low == pytest.approx(proportion_confint(5, 5, method="wilson")[0])


def test_one_patient_shows_nothing_of_others() -> None:
    found = clustered_share(np.ones(4, bool), np.zeros(4, np.int64))
    assert isinstance(found, NotEstimable)
    assert isinstance(clustered_share(np.ones(0, bool), np.ones(0, np.int64)), NotEstimable)


@LAW
@given(st.floats(0, 1), st.integers(2, 100), st.integers(0, 300))
def test_a_clustered_interval_holds_its_value(value: float, patients: int, more: int) -> None:
    share = ClusteredShare(value, value * (1 - value) / patients, patients + more, patients)
    found = clustered_interval(share)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_no_estimate_lies_outside_its_interval() -> None:
    for wrong in ((2.0, 0.0, 1.0), (float("nan"), 0.0, 1.0), (0.5, 0.0, float("inf"))):
        with pytest.raises(ValueError, match="inside its interval"):
            Estimate(*wrong)
