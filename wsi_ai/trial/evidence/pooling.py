"""One quantity, estimated at several sites that may differ: random-effects meta-analysis.

The variance between sites is by restricted maximum likelihood; the interval is Knapp and Hartung's
(2003, Stat Med 22: 2693) with their own safeguard, that it is never narrower than without; the
prediction interval is that of Higgins, Thompson and Spiegelhalter (2009, JRSS A 172: 137), for the
true value at one more site.  DerSimonian and Laird's estimate stands beside it, by statsmodels.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from statsmodels.stats.meta_analysis import combine_effects

from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable, check_alpha
from wsi_ai.trial.evidence.shares import NO_CASES

Floats = NDArray[np.float64]
_GRID = 200


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """A row a site: its estimate, on a scale without ends, and the variance of that."""

    value: Floats
    variance: Floats

    def __post_init__(self) -> None:
        if self.value.shape != self.variance.shape or self.value.ndim != 1:
            raise ValueError("a site has one estimate and one variance")
        if not (np.isfinite(self.value).all() and np.isfinite(self.variance).all()):
            raise ValueError("estimates and variances are finite")
        if not (self.variance > 0).all():
            raise ValueError("a variance is more than 0")


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """How much sites differ beyond chance."""

    tau2: float
    """The variance between sites; its root is on the scale of the estimates."""
    q: float
    i2: float
    """The share of the variance that is between sites; grows with the size of the sites."""
    h2: float


@dataclass(frozen=True, slots=True)
class Pooled:
    """The mean over sites."""

    mean: Estimate
    error: float
    """The standard error, as Knapp and Hartung have it."""
    prediction: Estimate | NotEstimable
    """Where one more site's true value may be."""
    heterogeneity: Heterogeneity
    sites: int


def pool(effects: Effects, alpha: float = ALPHA) -> Pooled | NotEstimable:
    """A pool of one is the site, with its own interval."""
    check_alpha(alpha)
    sites = len(effects.value)
    if not sites:
        return NO_CASES
    spread = heterogeneity(effects)
    mean, plain, adjusted = _mean(effects, spread.tau2)
    if sites == 1:
        reach = float(stats.norm.isf(alpha / 2)) * plain
    else:
        reach = float(stats.t.isf(alpha / 2, sites - 1)) * adjusted
    return Pooled(
        mean=Estimate(mean, mean - reach, mean + reach),
        error=adjusted,
        prediction=_prediction(mean, math.hypot(math.sqrt(spread.tau2), adjusted), sites, alpha),
        heterogeneity=spread,
        sites=sites,
    )


def heterogeneity(effects: Effects) -> Heterogeneity:
    tau2, sites = reml(effects), len(effects.value)
    q = _q(effects, 0.0)
    if sites < 2:
        return Heterogeneity(tau2, q, 0.0, 1.0)
    weight = 1 / effects.variance
    total = float(weight.sum())
    typical = (sites - 1) * total / (total**2 - float((weight**2).sum()))
    return Heterogeneity(tau2, q, tau2 / (tau2 + typical), (tau2 + typical) / typical)


@dataclass(frozen=True, slots=True)
class DerSimonianLaird:
    """The estimate of older reviews: too sure of itself with few sites."""

    tau2: float
    mean: float
    error: float


def dersimonian_laird(effects: Effects) -> DerSimonianLaird | NotEstimable:
    if len(effects.value) < 2:
        return NotEstimable("one site shows no difference between sites")
    found = combine_effects(effects.value, effects.variance, method_re="dl", use_t=False)
    tau2 = max(0.0, float(found.tau2))
    mean, error, _ = _mean(effects, tau2)
    return DerSimonianLaird(tau2, mean, error)


def reml(effects: Effects) -> float:
    """The variance between sites with the greatest restricted likelihood, 0 or more.

    A grid over all scales finds the highest of several maxima; it cannot fail to converge.
    """
    if len(effects.value) < 2:
        return 0.0
    reach = float(np.ptp(effects.value)) ** 2
    least = min(reach, float(effects.variance.min())) * 1e-6
    if not least:
        return 0.0
    grid = np.concatenate([[0.0], np.geomspace(least, 10 * reach, _GRID)])
    best = int(np.argmin([_minus_log_likelihood(t, effects) for t in grid]))
    around = (grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)])
    found = optimize.minimize_scalar(
        _minus_log_likelihood,
        args=(effects,),
        method="bounded",
        bounds=around,
        options={"xatol": 1e-12 * around[1]},
    )
    nothing = _minus_log_likelihood(0.0, effects) <= found.fun
    return 0.0 if nothing else float(found.x)


def _minus_log_likelihood(tau2: float, effects: Effects) -> float:
    total = effects.variance + tau2
    logs = float(np.log(total).sum()) + math.log(float((1 / total).sum()))
    return (logs + _q(effects, tau2)) / 2


def _q(effects: Effects, tau2: float) -> float:
    weight = 1 / (effects.variance + tau2)
    mean = float((weight * effects.value).sum() / weight.sum())
    return float((weight * (effects.value - mean) ** 2).sum())


def _mean(effects: Effects, tau2: float) -> tuple[float, float, float]:
    """The mean, its standard error, and the same after Knapp and Hartung."""
    weight, sites = 1 / (effects.variance + tau2), len(effects.value)
    mean = float((weight * effects.value).sum() / weight.sum())
    error = 1 / math.sqrt(float(weight.sum()))
    scale = _q(effects, tau2) / (sites - 1) if sites > 1 else 1.0
    return mean, error, error * math.sqrt(max(1.0, scale))


def _prediction(mean: float, error: float, sites: int, alpha: float) -> Estimate | NotEstimable:
    if sites < 3:
        return NotEstimable("fewer than three sites show what a further one may be")
    reach = float(stats.t.isf(alpha / 2, sites - 2)) * error
    return Estimate(mean, mean - reach, mean + reach)
