"""Sensitivity and false positive rate of several sites together, since they depend on each other.

The bivariate model of Reitsma et al. (2005, J Clin Epidemiol 58: 982): logits of the two shares are
normal within and between sites; restricted maximum likelihood; a half is added to every count.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable, check_alpha
from wsi_ai.trial.evidence.shares import Share

Floats = NDArray[np.float64]
LEAST_SITES = 5
_LOG_SPREAD = 20.0
_STARTS = ((0.0, 0.0, 0.0), (-1.0, 0.1, -1.0), (-3.0, 0.0, -3.0))


@dataclass(frozen=True, slots=True)
class SiteAccuracy:
    """Of one site: how many with the condition were flagged, and how many without it."""

    true_positive: Share
    false_positive: Share


@dataclass(frozen=True, slots=True, eq=False)
class Bivariate:
    """Means over sites, and how sites differ; matrices in the order sensitivity, false positive
    rate, on the logit's scale."""

    sensitivity: Estimate
    false_positive_rate: Estimate
    mean: Floats
    covariance: Floats
    """Of the means."""
    between: Floats
    """Of the sites around the means."""
    sites: int
    left_out: int
    """Sites without a case with the condition, or without one that lacks it."""

    @property
    def correlation(self) -> float:
        product = float(self.between[0, 0] * self.between[1, 1])
        return float(self.between[0, 1]) / math.sqrt(product) if product else 0.0


def pool_accuracy(
    sites: tuple[SiteAccuracy, ...], alpha: float = ALPHA
) -> Bivariate | NotEstimable:
    check_alpha(alpha)
    complete = [s for s in sites if s.true_positive.cases and s.false_positive.cases]
    if len(complete) < LEAST_SITES:
        return NotEstimable("fewer than five sites have cases of both kinds")
    logits, within = _logits(complete)
    between = _between(logits, within)
    mean, information = _fit(between, logits, within)
    covariance = np.asarray(np.linalg.inv(information), np.float64)
    z = float(stats.norm.isf(alpha / 2))
    return Bivariate(
        sensitivity=_share(mean[0], z * math.sqrt(covariance[0, 0])),
        false_positive_rate=_share(mean[1], z * math.sqrt(covariance[1, 1])),
        mean=mean,
        covariance=covariance,
        between=between,
        sites=len(complete),
        left_out=len(sites) - len(complete),
    )


def _logits(sites: list[SiteAccuracy]) -> tuple[Floats, Floats]:
    """(sites, 2), and their variances."""
    hits = np.array([[s.true_positive.hits, s.false_positive.hits] for s in sites]) + 0.5
    cases = np.array([[s.true_positive.cases, s.false_positive.cases] for s in sites]) + 1.0
    return np.log(hits / (cases - hits)), 1 / hits + 1 / (cases - hits)


def _share(logit: float, reach: float) -> Estimate:
    low, value, high = (float(special.expit(logit + r)) for r in (-reach, 0.0, reach))
    return Estimate(value, low, high)


def _between(logits: Floats, within: Floats) -> Floats:
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000}
    tries = [
        optimize.minimize(
            lambda at: _minus_log_likelihood(_matrix(at), logits, within),
            np.array(start),
            method="Nelder-Mead",
            options=options,
        )
        for start in _STARTS
    ]
    return _matrix(min(tries, key=lambda found: float(found.fun)).x)


def _matrix(at: Floats) -> Floats:
    """Any covariance, from three numbers that are free."""
    first, second = np.exp(np.clip(at[[0, 2]], -_LOG_SPREAD, _LOG_SPREAD))
    lower = np.array([[first, 0.0], [at[1], second]])
    return np.asarray(lower @ lower.T, np.float64)


def _fit(between: Floats, logits: Floats, within: Floats) -> tuple[Floats, Floats]:
    weight = _weights(between, within)
    information = weight.sum(0)
    mean = np.linalg.solve(information, np.einsum("kij,kj->i", weight, logits))
    return mean, information


def _weights(between: Floats, within: Floats) -> Floats:
    return np.asarray(np.linalg.inv(within[:, :, None] * np.eye(2) + between), np.float64)


def _minus_log_likelihood(between: Floats, logits: Floats, within: Floats) -> float:
    weight = _weights(between, within)
    mean, information = _fit(between, logits, within)
    apart = logits - mean
    return (
        float(np.einsum("ki,kij,kj->", apart, weight, apart))
        - float(np.linalg.slogdet(weight)[1].sum())
        + float(np.linalg.slogdet(information)[1])
    ) / 2
