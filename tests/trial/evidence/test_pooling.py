"""What sites have in common, and how they differ, beside likelihoods written out in full."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import null_space

from tests.trial.data_for_tests import LAW, audit_c, bcg, known
from wsi_ai.trial.evidence.bivariate import SiteAccuracy, pool_accuracy
from wsi_ai.trial.evidence.estimates import NotEstimable
from wsi_ai.trial.evidence.pooling import (
    Effects,
    dersimonian_laird,
    heterogeneity,
    pool,
    reml,
)
from wsi_ai.trial.evidence.shares import Share


def restricted(value: np.ndarray, covariance: np.ndarray, design: np.ndarray) -> float:
    """The likelihood of all contrasts that the means drop out of: what "restricted" means."""
    contrasts = null_space(design.T)
    return float(
        stats.multivariate_normal.logpdf(
            contrasts.T @ value, cov=contrasts.T @ covariance @ contrasts
        )
    )


@st.composite
def effects(draw: st.DrawFn, *, least: int = 2) -> Effects:
    sites = draw(st.integers(least, 12))
    seed, scale = draw(st.integers(0, 10**6)), draw(st.sampled_from([1e-4, 1.0, 1e5]))
    apart = draw(st.sampled_from([0.0, 0.3, 3.0]))
    rng = np.random.default_rng(seed)
    variance = rng.uniform(0.05, 1.0, sites)
    value = rng.normal(0, np.sqrt(variance + apart**2))
    return Effects(value * scale, variance * scale**2)


@LAW
@given(effects())
def test_no_other_variance_between_sites_is_as_likely(data: Effects) -> None:
    found, ones = reml(data), np.ones((len(data.value), 1))

    def likelihood(tau2: float) -> float:
        return restricted(data.value, np.diag(data.variance + tau2), ones)

    best, top = likelihood(found), float(np.ptp(data.value)) ** 2
    for other in (0.0, found * 0.9, found * 1.1, *np.geomspace(top * 1e-4, top * 5, 40)):
        assert likelihood(other) <= best + 1e-7


@LAW
@given(effects(least=3), st.sampled_from([1e-3, 7.0, 1e4]))
def test_another_unit_changes_only_the_unit(data: Effects, unit: float) -> None:
    one, other = known(pool(data)), known(pool(Effects(data.value * unit, data.variance * unit**2)))
    assert other.mean.low == pytest.approx(one.mean.low * unit, rel=1e-5)
    assert other.heterogeneity.i2 == pytest.approx(one.heterogeneity.i2, abs=1e-5)
    assert known(other.prediction).high == pytest.approx(
        known(one.prediction).high * unit, rel=1e-5
    )


@LAW
@given(effects(least=3))
def test_a_further_site_is_less_certain_than_the_mean(data: Effects) -> None:
    found = known(pool(data))
    further = known(found.prediction)
    assert further.low <= found.mean.low
    assert found.mean.high <= further.high


@LAW
@given(effects())
def test_the_interval_is_never_narrower_than_that_of_sites_that_do_not_differ(
    data: Effects,
) -> None:
    found = known(pool(data))
    common = 1 / math.sqrt(float((1 / data.variance).sum()))
    assert found.error >= common * (1 - 1e-9)


def test_sites_that_agree_to_the_last_digit_do_not_make_the_mean_certain() -> None:
    found = known(pool(Effects(np.full(4, 0.3), np.full(4, 0.04))))
    assert found.error == pytest.approx(0.1)
    assert found.heterogeneity.tau2 == 0


def test_a_pool_of_one_is_the_site() -> None:
    found = known(pool(Effects(np.array([0.3]), np.array([0.04]))))
    assert (found.mean.low, found.mean.high) == pytest.approx(
        (0.3 - 0.391993, 0.3 + 0.391993), abs=1e-5
    )
    assert isinstance(found.prediction, NotEstimable)
    assert isinstance(pool(Effects(np.zeros(0), np.zeros(0))), NotEstimable)


def test_the_intervals_hold_the_mean_and_a_further_site_nearly_as_often_as_they_say() -> None:
    """Where sites differ little, the second holds less often: docs/trial.md."""
    rng, runs, holds, predicted = np.random.default_rng(2), 150, 0, 0
    for _ in range(runs):
        variance = rng.uniform(0.02, 0.3, 17)
        value = rng.normal(1.0, np.sqrt(variance + 0.3))
        found = known(pool(Effects(value, variance)))
        holds += found.mean.low <= 1.0 <= found.mean.high
        further = known(found.prediction)
        predicted += further.low <= rng.normal(1.0, math.sqrt(0.3)) <= further.high
    assert holds / runs > 0.91
    assert predicted / runs > 0.88


def test_the_variance_within_reach_of_bcg_s_sites_is_i2_s() -> None:
    found, older = heterogeneity(bcg()), known(dersimonian_laird(bcg()))
    assert 0 < older.tau2 < found.tau2
    assert found.i2 == pytest.approx(1 - 1 / found.h2)


def test_the_prediction_interval_is_worked_out_as_by_hand() -> None:
    """BCG: -0.71453 and 2.20099 (t, 11 degrees) times the root of 0.313243 + 0.180792²."""
    found = known(known(pool(bcg())).prediction)
    assert (found.low, found.high) == pytest.approx((-2.00905, 0.57999), abs=5e-5)


@pytest.mark.parametrize(
    ("value", "variance"),
    [
        ([1.0], [0.0]),
        ([1.0], [-1.0]),
        ([math.inf], [1.0]),
        ([1.0], [math.nan]),
        ([1.0], [1.0, 2.0]),
    ],
)
def test_an_estimate_without_a_variance_is_refused(
    value: list[float], variance: list[float]
) -> None:
    with pytest.raises(ValueError, match=r"variance|finite"):
        Effects(np.array(value), np.array(variance))


def stacked(between: np.ndarray, sites: tuple[SiteAccuracy, ...]) -> float:
    """Of sensitivities and false positive rates together, all contrasts."""
    value, within = [], []
    for site in sites:
        for share in (site.true_positive, site.false_positive):
            hits, misses = share.hits + 0.5, share.cases - share.hits + 0.5
            value.append(math.log(hits / misses))
            within.append(1 / hits + 1 / misses)
    covariance = np.kron(np.eye(len(sites)), between) + np.diag(within)
    return restricted(np.array(value), covariance, np.tile(np.eye(2), (len(sites), 1)))


def drawn_sites(seed: int, sites: int) -> tuple[SiteAccuracy, ...]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(sites):
        logit = rng.multivariate_normal([2.0, -1.5], [[0.5, 0.2], [0.2, 0.3]])
        share = 1 / (1 + np.exp(-logit))
        ill, well = rng.integers(15, 80), rng.integers(80, 300)
        hits = rng.binomial([ill, well], share)
        found.append(SiteAccuracy(Share(int(hits[0]), int(ill)), Share(int(hits[1]), int(well))))
    return tuple(found)


@pytest.mark.parametrize("sites", [audit_c(), drawn_sites(1, 6), drawn_sites(2, 17)])
def test_no_other_spread_of_both_shares_is_as_likely(sites: tuple[SiteAccuracy, ...]) -> None:
    found = known(pool_accuracy(sites))
    best, rng = stacked(found.between, sites), np.random.default_rng(0)
    for size in (0.3, 0.05, 0.01):
        for _ in range(30):
            lower = np.linalg.cholesky(found.between + 1e-12 * np.eye(2))
            other = lower @ (np.eye(2) + size * rng.normal(size=(2, 2)))
            assert stacked(other @ other.T, sites) <= best + 1e-6


def test_sites_that_do_not_differ_are_pooled_as_one() -> None:
    site = SiteAccuracy(Share(90, 100), Share(40, 400))
    found = known(pool_accuracy((site,) * 6))
    assert found.between == pytest.approx(np.zeros((2, 2)), abs=1e-4)
    assert found.sensitivity.value == pytest.approx(90.5 / 101, abs=1e-6)


def test_a_site_without_cancers_is_left_out_and_counted() -> None:
    empty = SiteAccuracy(Share(0, 0), Share(3, 50))
    found = known(pool_accuracy((*audit_c(), empty)))
    assert (found.sites, found.left_out) == (14, 1)
    assert found.sensitivity == known(pool_accuracy(audit_c())).sensitivity


def test_four_sites_are_too_few_for_both_shares_together() -> None:
    assert isinstance(pool_accuracy(audit_c()[:4]), NotEstimable)
