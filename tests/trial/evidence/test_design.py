"""Sizes, looks, charts and verdicts, beside simulations and other programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.trial.data_for_tests import LAW, known
from wsi_ai.trial.evidence.comparisons import benjamini_hochberg, holm, simultaneous_alpha
from wsi_ai.trial.evidence.drift import BernoulliCusum, Cusum, Ewma, stability_index
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.gaps import (
    NotWorse,
    Stratum,
    TooFewToSay,
    Worse,
    stratified_gap,
    verdict,
)
from wsi_ai.trial.evidence.looks import chance_of_crossing, obrien_fleming, pocock
from wsi_ai.trial.evidence.shares import Share, difference
from wsi_ai.trial.evidence.size import (
    area_error,
    cases_for_width,
    cases_needed,
    misses_that_stop,
    power,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=3)  # statsmodels collects garbage each time
@given(P_VALUES)
def test_adjusted_p_values_are_in_order_and_never_smaller(p: list[float]) -> None:
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert all(a >= b - 1e-12 for a, b in zip(adjusted, p, strict=True))
        order = np.argsort(p, kind="stable")
        assert (np.diff(np.array(adjusted)[order]) >= -1e-12).all()
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


def test_no_comparison_needs_no_adjustment() -> None:
    assert holm(()) == ()
    with pytest.raises(ValueError, match="p value"):
        holm([1.1])
    with pytest.raises(ValueError, match="1 interval"):
        simultaneous_alpha(0)


def test_the_power_of_a_size_holds_for_larger_ones_and_not_for_the_one_before() -> None:
    needed = cases_needed(0.90, 0.95)
    assert all(power(needed + k, 0.90, 0.95, 0.025) >= 0.8 for k in range(30))
    assert power(needed - 1, 0.90, 0.95, 0.025) < 0.8
    assert power(231, 0.90, 0.95, 0.025) >= 0.8  # by chance: the saw


@pytest.mark.parametrize("cases", [30, 77])
def test_the_exact_test_claims_too_much_no_more_often_than_alpha(cases: int) -> None:
    assert power(cases, 0.90, 0.90, 0.025) <= 0.025


def test_a_size_that_cannot_be_had_is_refused() -> None:
    for goal, expected in ((0.9, 0.9), (0.95, 0.9), (0.0, 0.5)):
        with pytest.raises(ValueError, match="above the goal"):
            cases_needed(goal, expected)


def test_the_sizes_of_the_specification_come_out() -> None:
    assert cases_for_width(0.9, 0.1) == 35
    assert cases_for_width(0.9, 0.1, prevalence=0.2) == 175
    assert area_error(0.9, 50, 200) == pytest.approx(0.0299576, abs=5e-8)


def test_nothing_stops_a_trial_of_one_case() -> None:
    assert misses_that_stop(1, 0.10) is None
    assert misses_that_stop(0, 0.10) is None


@pytest.mark.parametrize("design", [obrien_fleming, pocock])
@pytest.mark.parametrize("looks", [1, 2, 4])
def test_looking_often_claims_too_much_no_more_often_than_looking_once(
    design: object, looks: int
) -> None:
    """Beside a simulation of the looks."""
    critical = np.array(design(looks))  # type: ignore[operator]
    rng = np.random.default_rng(looks)
    sums = np.cumsum(rng.normal(size=(40_000, looks)), 1) / np.sqrt(np.arange(1, looks + 1))
    crossed = (abs(sums) >= critical).any(1).mean()
    assert crossed == pytest.approx(0.05, abs=0.004)
    assert chance_of_crossing(critical) == pytest.approx(0.05, abs=1e-9)


def test_one_look_is_the_usual_test() -> None:
    assert obrien_fleming(1) == pocock(1) == pytest.approx((1.959964,))
    assert obrien_fleming(2) == pytest.approx((2.797, 1.977), abs=1e-3)
    with pytest.raises(ValueError, match="looks"):
        pocock(0)


HISTOGRAM = st.lists(st.integers(0, 50), min_size=5, max_size=5).map(np.array)


@LAW
@given(HISTOGRAM.filter(np.any), HISTOGRAM.filter(np.any))
def test_a_stability_index_is_0_or_more_whichever_came_first(
    one: np.ndarray, other: np.ndarray
) -> None:
    found = stability_index(one, other)
    assert 0 <= found + 1e-12 < np.inf
    assert stability_index(other, one) == pytest.approx(found)
    assert stability_index(one, 3 * one) == pytest.approx(0, abs=1e-12)


def test_a_bin_that_is_empty_on_one_side_counts_as_half_a_case() -> None:
    """By hand: (10 / 22) times the logarithm of 11 * 10.5 / 5.5."""
    found = stability_index(np.array([0, 10, 0]), np.array([5, 5, 0]))
    assert found == pytest.approx(10 / 22 * np.log(11 * 10.5 / 5.5))


def test_a_histogram_of_nothing_is_no_baseline() -> None:
    with pytest.raises(ValueError, match="a case or more"):
        stability_index(np.zeros(3, int), np.ones(3, int))
    with pytest.raises(ValueError, match="same bins"):
        stability_index(np.ones(3, int), np.ones(4, int))


def steps_to(path: np.ndarray, limit: float) -> float:
    """The mean number of points until a chart first reaches its limit; rows are charts."""
    reached = path >= limit
    assert reached.any(1).all()
    return float(reached.argmax(1).mean()) + 1


def test_the_average_run_length_is_that_of_charts_that_are_drawn() -> None:
    points = np.random.default_rng(6).normal(1.0, size=(1500, 80))
    cusum = Cusum(0.5, 4)
    drawn = np.array([list(cusum.path(row)) for row in points])
    assert steps_to(drawn, cusum.limit) == pytest.approx(cusum.run_length(1.0), rel=0.05)
    ewma = Ewma()
    drawn = np.abs([list(ewma.path(row)) for row in points])
    assert steps_to(drawn, ewma.bound) == pytest.approx(ewma.run_length(1.0), rel=0.05)


def test_a_week_without_cases_leaves_a_chart_as_it_is() -> None:
    assert list(Cusum().path([2.0, float("nan"), 2.0])) == [1.5, 1.5, 3.0]
    assert list(Ewma(0.5).path([2.0, float("nan")])) == [1.0, 1.0]


def test_a_chart_of_misses_rises_with_misses_only() -> None:
    chart = BernoulliCusum(0.05, 0.10, 3.0)
    path = list(chart.path([False, False, True, True, False]))
    assert path[:2] == [0.0, 0.0]
    assert path[3] == pytest.approx(2 * chart.rise)
    assert path[4] < path[3]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Cusum(0.5, 0.0),
        lambda: Ewma(0.0),
        lambda: BernoulliCusum(0.1, 0.05, 3.0),
    ],
)
def test_a_chart_that_cannot_alarm_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="got"):
        wrong()  # type: ignore[operator]


def test_a_gap_of_few_cases_is_too_few_to_say_and_not_the_absence_of_a_gap() -> None:
    gap = difference(Share(18, 20), Share(180, 190))
    assert verdict(gap, 0.05) == TooFewToSay()
    assert verdict(NotEstimable("there is no such case"), 0.05) == TooFewToSay()
    assert verdict(Estimate(-0.2, -0.3, -0.1), 0.05) == Worse()
    assert verdict(Estimate(0.0, -0.04, 0.02), 0.05) == NotWorse()
    with pytest.raises(ValueError, match="tolerated"):
        verdict(gap, -0.1)


SHARES = st.integers(1, 200).flatmap(lambda n: st.builds(Share, st.integers(0, n), st.just(n)))


@LAW
@given(SHARES, SHARES)
def test_one_site_s_stratified_gap_is_its_gap(level: Share, reference: Share) -> None:
    found = stratified_gap([Stratum(level, reference)])
    if not isinstance(found, NotEstimable):
        plain = level.hits / level.cases - reference.hits / reference.cases
        assert found.value == pytest.approx(plain, abs=1e-12)


def test_sites_that_differ_make_no_gap_by_themselves() -> None:
    """Where sites differ and groups do not, only the crude gap is there."""
    sites = [
        Stratum(Share(90, 100), Share(9, 10)),
        Stratum(Share(5, 10), Share(50, 100)),
    ]
    assert known(stratified_gap(sites)).value == pytest.approx(0, abs=1e-12)
    assert known(difference(Share(95, 110), Share(59, 110))).low > 0.2


def test_a_stratified_gap_s_interval_holds_it_as_often_as_it_says() -> None:
    rng, holds = np.random.default_rng(9), 0
    for _ in range(400):
        sites = []
        for rate in (0.6, 0.75, 0.85):
            n, m = rng.integers(25, 60, 2)
            hits = rng.binomial([n, m], [rate - 0.1, rate])
            sites.append(Stratum(Share(int(hits[0]), int(n)), Share(int(hits[1]), int(m))))
        found = known(stratified_gap(sites))
        holds += found.low <= -0.1 <= found.high
    assert holds / 400 > 0.92


def test_a_group_that_is_at_no_site_together_with_the_other_has_no_gap() -> None:
    sites = [Stratum(Share(3, 5), Share(0, 0)), Stratum(Share(0, 0), Share(3, 5))]
    assert isinstance(stratified_gap(sites), NotEstimable)
    assert isinstance(stratified_gap([]), NotEstimable)
    certain = [Stratum(Share(5, 5), Share(5, 5))]
    assert isinstance(stratified_gap(certain), NotEstimable)


def test_both_adjustments_are_those_of_statsmodels() -> None:
    p = np.round(np.random.default_rng(1).random(30) ** 3, 2)  # with ties
    for ours, method in ((holm(p), "holm"), (benjamini_hochberg(p), "fdr_bh")):
        assert ours == pytest.approx(multipletests(p, method=method)[1], abs=1e-12)
