"""One rate over sites: exact sum, mean over sites, further sites, and each site left out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from wsi_ai.trial.evidence.accuracy import FlagTable, assessed_only, operational, worst_case
from wsi_ai.trial.evidence.accuracy import not_assessed as failures
from wsi_ai.trial.evidence.clusters import ClusteredShare, clustered_interval
from wsi_ai.trial.evidence.estimates import ALPHA, Estimate, NotEstimable
from wsi_ai.trial.evidence.pooling import Effects, Heterogeneity, pool
from wsi_ai.trial.evidence.prediction import bootstrap_prediction
from wsi_ai.trial.evidence.shares import Share, wilson
from wsi_ai.trial.region.sites import Range, ShownSite, Sites, share_bounds
from wsi_ai.trial.sums import SiteSums


@dataclass(frozen=True, slots=True)
class Measure:
    """A share of the cases of a flag table."""

    name: str
    of: Callable[[FlagTable], Share]
    clustered: Callable[[SiteSums], ClusteredShare | NotEstimable] | None = None
    shown: Callable[[ShownSite], tuple[Range, Range]] | None = None
    """Hits and others, of an open bundle."""


SENSITIVITY = Measure(
    "sensitivity",
    lambda table: operational(table).sensitivity,
    lambda sums: sums.sensitivity,
    lambda site: (site.expedited("with_condition"), site.waiting("with_condition")),
)
SPECIFICITY = Measure(
    "specificity",
    lambda table: operational(table).specificity,
    lambda sums: sums.specificity,
    lambda site: (site.waiting("without"), site.expedited("without")),
)
NOT_ASSESSED = Measure("not assessed", lambda table: failures(table).all_cases)
ASSESSED_SENSITIVITY = Measure(
    "sensitivity, assessed only", lambda table: assessed_only(table).sensitivity
)
ASSESSED_SPECIFICITY = Measure(
    "specificity, assessed only", lambda table: assessed_only(table).specificity
)
WORST_SPECIFICITY = Measure("specificity, worst case", lambda table: worst_case(table).specificity)


@dataclass(frozen=True, slots=True)
class AtSite:
    """One site's own share."""

    site: str
    share: Share
    estimate: Estimate | NotEstimable


@dataclass(frozen=True, slots=True)
class OverSites:
    """Sites that may differ, as shares again."""

    mean: Estimate
    further: Estimate | NotEstimable
    """One more site, by Student's t."""
    further_bootstrap: Estimate | NotEstimable
    heterogeneity: Heterogeneity


@dataclass(frozen=True, slots=True)
class Rate:
    """A measure of all sites with exact counts."""

    name: str
    total: Share
    estimate: Estimate | NotEstimable
    """Of all cases together; patients are clusters and sites are strata, where sites say how."""
    sites: tuple[AtSite, ...]
    over_sites: OverSites | NotEstimable
    without_each: tuple[tuple[str, Estimate | NotEstimable], ...]
    bounds: tuple[float, float] | None
    """With the sites that show rounded counts only; ``None`` where there are none."""


@dataclass(frozen=True, slots=True)
class OtherWay:
    """A secondary way to count, of all cases together."""

    name: str
    total: Share
    estimate: Estimate | NotEstimable


def other_way(sites: Sites, measure: Measure) -> OtherWay:
    total = _total([measure.of(sums.flags) for sums in sites.exact])
    return OtherWay(measure.name, total, pooled_interval(sites.exact, measure))


def rate(sites: Sites, measure: Measure, alpha: float = ALPHA) -> Rate:
    at = [(sums, measure.of(sums.flags)) for sums in sites.exact]
    total = _total([share for _, share in at])
    return Rate(
        name=measure.name,
        total=total,
        estimate=pooled_interval(sites.exact, measure, alpha),
        sites=tuple(AtSite(s.origin.site, share, wilson(share, alpha)) for s, share in at),
        over_sites=over_sites(sites.exact, measure, alpha),
        without_each=_without_each(sites.exact, measure, alpha),
        bounds=_bounds(sites, measure, total),
    )


def pooled_interval(
    exact: Sequence[SiteSums], measure: Measure, alpha: float = ALPHA
) -> Estimate | NotEstimable:
    total = _total([measure.of(sums.flags) for sums in exact])
    clustered = [measure.clustered(s) for s in exact] if measure.clustered else []
    known = [some for some in clustered if isinstance(some, ClusteredShare)]
    if not known or sum(some.cases for some in known) != total.cases:
        return wilson(total, alpha)
    variance = math.fsum((some.cases / total.cases) ** 2 * some.variance for some in known)
    patients = sum(some.patients for some in known)
    value = total.hits / total.cases
    return clustered_interval(ClusteredShare(value, variance, total.cases, patients), alpha)


def over_sites(
    exact: Sequence[SiteSums], measure: Measure, alpha: float = ALPHA
) -> OverSites | NotEstimable:
    """On the logit's scale, a half added to every count, as the bivariate model has it."""
    shares = [measure.of(sums.flags) for sums in exact]
    found = [share for share in shares if share.cases]
    if not found:
        return NotEstimable("no site has such a case")
    hits = np.array([share.hits + 0.5 for share in found])
    others = np.array([share.cases - share.hits + 0.5 for share in found])
    effects = Effects(np.log(hits / others), 1 / hits + 1 / others)
    pooled = pool(effects, alpha)
    if isinstance(pooled, NotEstimable):
        return pooled
    return OverSites(
        as_share(pooled.mean),
        as_share(pooled.prediction),
        as_share(bootstrap_prediction(effects, alpha=alpha)),
        pooled.heterogeneity,
    )


def as_share(logit: Estimate | NotEstimable) -> Estimate:
    """Back from the logit's scale; what is not estimable is anything from 0 to 1."""
    if isinstance(logit, NotEstimable):
        return Estimate(0.5, 0.0, 1.0)
    low, value, high = (float(special.expit(v)) for v in (logit.low, logit.value, logit.high))
    return Estimate(value, low, high)


def _without_each(
    exact: Sequence[SiteSums], measure: Measure, alpha: float
) -> tuple[tuple[str, Estimate | NotEstimable], ...]:
    return tuple(
        (
            sums.origin.site,
            pooled_interval([other for other in exact if other is not sums], measure, alpha),
        )
        for sums in exact
    )


def _bounds(sites: Sites, measure: Measure, total: Share) -> tuple[float, float] | None:
    if measure.shown is None or not sites.shown:
        return None
    return share_bounds(total, [measure.shown(site) for site in sites.shown])


def _total(shares: Sequence[Share]) -> Share:
    return Share(sum(share.hits for share in shares), sum(share.cases for share in shares))
