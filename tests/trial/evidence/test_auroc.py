"""The area, its variance and its pools, beside other programs, simulations and laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.trial.data_for_tests import LAW, cancer, column, known
from wsi_ai.trial.evidence.auroc import (
    Area,
    Cases,
    auroc,
    bounds_of_bins,
    compare,
    interval,
    pool_areas,
    separate_patients,
)
from wsi_ai.trial.evidence.estimates import NotEstimable

Table = tuple[np.ndarray, Cases]


@st.composite
def tables(draw: st.DrawFn, *, distinct: int = 8) -> Table:
    """Scores with ties, several cases a patient, and two patients or more of both kinds."""
    number = draw(st.integers(4, 30))
    score = draw(st.lists(st.integers(0, distinct), min_size=number, max_size=number))
    truth = draw(st.lists(st.booleans(), min_size=number - 4, max_size=number - 4))
    patient = draw(st.lists(st.integers(4, 12), min_size=number - 4, max_size=number - 4))
    cases = Cases(np.array([True, True, False, False, *truth]), np.array([0, 1, 2, 3, *patient]))
    return np.array(score, float), cases


def slow_area(score: np.ndarray, truth: np.ndarray) -> float:
    """Pair by pair."""
    pairs = [(p > n) + (p == n) / 2 for p in score[truth] for n in score[~truth]]
    return float(np.mean(pairs))


def slow_variance(score: np.ndarray, cases: Cases) -> float:
    """Obuchowski's formulas as she writes them, patient by patient."""
    area, truth = slow_area(score, cases.truth), cases.truth
    x, y = score[truth], score[~truth]
    v10 = {i: np.mean([(s > t) + (s == t) / 2 for t in y]) for i, s in enumerate(x)}
    v01 = {j: np.mean([(s > t) + (s == t) / 2 for s in x]) for j, t in enumerate(y)}
    who_x, who_y = cases.patient[truth], cases.patient[~truth]
    people = sorted(set(cases.patient.tolist()))
    a = [sum(v10[i] - area for i in range(len(x)) if who_x[i] == p) for p in people]
    b = [sum(v01[j] - area for j in range(len(y)) if who_y[j] == p) for p in people]
    m, n, k = len(x), len(y), len(people)
    i10, i01 = len(set(who_x.tolist())), len(set(who_y.tolist()))
    s10 = i10 / ((i10 - 1) * m) * sum(v * v for v in a)
    s01 = i01 / ((i01 - 1) * n) * sum(v * v for v in b)
    s11 = k / (k - 1) * sum(v * w for v, w in zip(a, b, strict=True))
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@LAW
@given(tables())
def test_the_area_is_that_of_all_pairs_and_of_scikit_learn(table: Table) -> None:
    score, cases = table
    found = known(auroc(score, cases)).value
    assert found == pytest.approx(slow_area(score, cases.truth), abs=1e-12)
    assert found == pytest.approx(roc_auc_score(cases.truth, score), abs=1e-12)


@LAW
@given(tables())
def test_the_variance_is_that_of_the_published_formulas(table: Table) -> None:
    score, cases = table
    slow = max(0.0, slow_variance(score, cases))
    assert known(auroc(score, cases)).variance == pytest.approx(slow, abs=1e-12)


@LAW
@given(tables())
def test_turning_the_score_round_turns_the_area_and_its_interval_round(table: Table) -> None:
    score, cases = table
    forth, back = known(auroc(score, cases)), known(auroc(-score, cases))
    assert back.value == pytest.approx(1 - forth.value, abs=1e-12)
    assert back.variance == pytest.approx(forth.variance, abs=1e-12)
    one, other = interval(forth), interval(back)
    if isinstance(one, NotEstimable):
        assert other == one
    else:
        assert known(other).low == pytest.approx(1 - one.high, abs=1e-9)


@LAW
@given(tables(), st.integers(2, 3))
def test_scoring_every_case_several_times_teaches_nothing(table: Table, times: int) -> None:
    score, cases = table
    again = Cases(np.tile(cases.truth, times), np.tile(cases.patient, times))
    once, more = known(auroc(score, cases)), known(auroc(np.tile(score, times), again))
    assert more.value == pytest.approx(once.value, abs=1e-12)
    assert more.variance == pytest.approx(once.variance, abs=1e-12)


@LAW
@given(tables())
def test_only_the_order_of_scores_counts(table: Table) -> None:
    score, cases = table
    assert auroc(np.exp(score), cases) == auroc(score, cases)
    behind = np.where(score == score.min(), -np.inf, score)
    assert auroc(behind, cases) == auroc(score, cases)


def test_the_variance_is_that_of_patients_drawn_again_and_again() -> None:
    """A bootstrap of patients, on data where it matters that cases are clustered."""
    rng = np.random.default_rng(4)
    patient = np.repeat(np.arange(120), rng.integers(1, 6, 120))
    own = rng.normal(size=120)[patient]
    truth = rng.random(len(patient)) < 0.35
    score = truth * 1.0 + own + 0.5 * rng.normal(size=len(patient))
    found = known(auroc(score, Cases(truth, patient)))
    rows = [np.flatnonzero(patient == p) for p in range(120)]
    drawn = []
    for _ in range(400):
        at = np.concatenate([rows[p] for p in rng.integers(0, 120, 120)])
        drawn.append(known(auroc(score[at], separate_patients(truth[at]))).value)
    assert math.sqrt(found.variance) == pytest.approx(np.std(drawn), rel=0.12)


def test_with_several_cases_a_patient_the_interval_still_holds_the_truth() -> None:
    rng, runs, holds, naive = np.random.default_rng(8), 250, 0, 0
    exact = 0.5 * (1 + math.erf(1.4 / math.sqrt(2 * 1.25) / math.sqrt(2)))
    for _ in range(runs):
        patient = np.repeat(np.arange(100), rng.integers(1, 6, 100))
        ill = (np.arange(100) < 40)[patient]
        own = rng.normal(size=100)[patient]
        score = 1.4 * ill + own + 0.5 * rng.normal(size=len(patient))
        for cases in (Cases(ill, patient), separate_patients(ill)):
            found = known(interval(known(auroc(score, cases))))
            inside = found.low <= exact <= found.high
            holds, naive = (
                (holds + inside, naive) if cases.patient is patient else (holds, naive + inside)
            )
    assert holds / runs > 0.9
    assert naive / runs < 0.87


@LAW
@given(tables(), st.randoms(use_true_random=False))
def test_two_scores_of_the_same_cases_mirror_each_other(table: Table, random: object) -> None:
    score, cases = table
    other = np.array(sorted(score, key=lambda _: random.random()))  # type: ignore[attr-defined]
    forth, back = compare(score, other, cases), compare(other, score, cases)
    if isinstance(forth, NotEstimable):
        assert back == forth
    else:
        assert known(back).z == pytest.approx(-forth.z)
        apart = known(auroc(score, cases)).value - known(auroc(other, cases)).value
        assert forth.estimate.value == pytest.approx(apart, abs=1e-12)


def test_a_score_is_no_better_than_itself() -> None:
    found = compare(column("marker"), 2 * column("marker"), separate_patients(cancer().truth))
    assert isinstance(found, NotEstimable)


areas = st.builds(
    Area,
    st.floats(0, 1),
    st.floats(0, 0.1),
    st.integers(0, 300),
    st.integers(0, 300),
)


@LAW
@given(areas.filter(lambda a: a.pairs > 0))
def test_a_pool_of_one_is_the_site(area: Area) -> None:
    assert pool_areas([area]) == area


@LAW
@given(st.lists(areas, min_size=1, max_size=6).filter(lambda a: any(s.pairs for s in a)))
def test_a_site_without_pairs_changes_no_pool(sites: list[Area]) -> None:
    found = known(pool_areas(sites))
    more = known(pool_areas([*sites, Area(0.0, 0.09, 7, 0)]))
    assert (more.value, more.variance) == pytest.approx((found.value, found.variance))


def test_a_pool_is_of_the_pairs_within_sites() -> None:
    """The example of the specification: three parts of one data set, 0.8263 and not 0.8606."""
    data, site = cancer(), np.arange(750) % 3
    score = data.probability + site  # a site's scale is its own
    sites = [
        known(auroc(score[site == s], separate_patients(data.truth[site == s]))) for s in range(3)
    ]
    pairs = [
        (p > n) + (p == n) / 2
        for s in range(3)
        for p in score[(site == s) & data.truth]
        for n in score[(site == s) & ~data.truth]
    ]
    found = known(pool_areas(sites))
    assert found.value == pytest.approx(np.mean(pairs), abs=1e-12)
    crude = known(auroc(score, separate_patients(data.truth))).value
    assert crude < found.value - 0.1


def test_the_pool_s_variance_is_that_of_sites_drawn_again() -> None:
    rng, drawn, variances = np.random.default_rng(1), [], []
    for _ in range(300):
        sites = []
        for size in (40, 90, 60):
            truth = np.arange(size) < size // 3
            score = truth * 1.2 + rng.normal(size=size)
            sites.append(known(auroc(score, separate_patients(truth))))
        found = known(pool_areas(sites))
        drawn.append(found.value)
        variances.append(found.variance)
    assert np.mean(variances) == pytest.approx(np.var(drawn), rel=0.2)


@LAW
@given(tables(distinct=40), st.lists(st.integers(1, 40), max_size=8))
def test_the_bounds_of_bins_hold_the_area(table: Table, edges: list[int]) -> None:
    score, cases = table
    of = np.searchsorted(sorted(edges), score, "right")
    counts = [np.bincount(of[cases.truth == kind], minlength=9) for kind in (True, False)]
    found = known(bounds_of_bins(*counts))
    exact = known(auroc(score, cases)).value
    assert found.least - 1e-12 <= exact <= found.greatest + 1e-12
    tied = known(auroc(of.astype(float), cases)).value
    assert found.with_ties == pytest.approx(tied, abs=1e-12)


@pytest.mark.parametrize(
    ("bins", "least", "greatest"),
    [(10, 0.7553, 0.9108), (50, 0.8503, 0.8763), (200, 0.8578, 0.8649)],
)
def test_the_bounds_of_the_specification_come_out(bins: int, least: float, greatest: float) -> None:
    data = cancer()
    of = np.minimum((data.probability * bins).astype(int), bins - 1)
    counts = [np.bincount(of[data.truth == kind], minlength=bins) for kind in (True, False)]
    found = known(bounds_of_bins(*counts))
    assert (found.least, found.greatest) == pytest.approx((least, greatest), abs=5e-5)


@LAW
@given(st.integers(1, 20), st.integers(1, 20))
def test_what_is_perfect_or_all_tied_has_no_interval(m: int, n: int) -> None:
    truth = np.repeat([True, False], [m, n])
    for score in (truth.astype(float), np.zeros(m + n)):
        found = auroc(score, separate_patients(truth))
        if min(m, n) < 2:
            assert isinstance(found, NotEstimable)
        else:
            assert known(found).variance == 0
            assert isinstance(interval(known(found)), NotEstimable)


@pytest.mark.parametrize(
    ("area", "low", "high"),
    [
        (Area(0.95, 0.0009, 100, 100), 0.8464, 0.9850),  # above 0.9: on the logit's scale
        (Area(0.05, 0.0009, 100, 100), 0.0150, 0.1536),
        (Area(0.85, 0.0009, 100, 100), 0.7912, 0.9088),
        (Area(0.85, 0.0009, 29, 100), 0.7813, 0.8999),  # few cases
    ],
)
def test_the_interval_is_worked_out_as_by_hand(area: Area, low: float, high: float) -> None:
    found = known(interval(area))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_one_class_alone_has_no_area() -> None:
    for truth in (np.ones(5, bool), np.zeros(5, bool), np.zeros(0, bool)):
        assert isinstance(auroc(np.arange(len(truth)), separate_patients(truth)), NotEstimable)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a score is a number"):
        auroc(np.array([np.nan, 1.0]), separate_patients(np.array([True, False])))
    with pytest.raises(ValueError, match="one length"):
        auroc(np.ones(3), separate_patients(np.array([True, False])))
