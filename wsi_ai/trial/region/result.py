"""What a pool of sites says: computed from its sites alone, and the same each time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wsi_ai.trial.evidence.accuracy import FlagTable
from wsi_ai.trial.evidence.auroc import Area, Bounds, bounds_of_bins, interval, pool_areas
from wsi_ai.trial.evidence.bivariate import Bivariate, SiteAccuracy, pool_accuracy
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.looks import obrien_fleming
from wsi_ai.trial.evidence.pooling import Effects, pool
from wsi_ai.trial.evidence.prediction import bootstrap_prediction
from wsi_ai.trial.evidence.shares import Share
from wsi_ai.trial.region.equity import Characteristic, equity
from wsi_ai.trial.region.rates import (
    ASSESSED_SENSITIVITY,
    ASSESSED_SPECIFICITY,
    NOT_ASSESSED,
    SENSITIVITY,
    SPECIFICITY,
    WORST_SPECIFICITY,
    Measure,
    OtherWay,
    OverSites,
    Rate,
    as_share,
    other_way,
    pooled_interval,
    rate,
)
from wsi_ai.trial.region.sites import Sites

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Areas:
    """AUROC: pairs of cases within a site only."""

    pooled: Area | NotEstimable
    estimate: Estimate | NotEstimable
    sites: tuple[tuple[str, Estimate | NotEstimable], ...]
    over_sites: OverSites | NotEstimable
    across: Bounds | NotEstimable
    """Of pairs across sites, too: what histograms leave possible."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The protocol's question, at this look."""

    measure: str
    goal: float
    estimate: Estimate | NotEstimable
    """With the interval of this look: wider than 95 % before the last one."""
    met: bool
    looks: int


@dataclass(frozen=True, slots=True)
class Result:
    """All that the report prints."""

    flags: FlagTable
    sensitivity: Rate
    specificity: Rate
    not_assessed: Rate
    others: tuple[OtherWay, ...]
    """The secondary ways to count."""
    areas: Areas
    bivariate: Bivariate | NotEstimable
    characteristics: tuple[Characteristic, ...]
    claim: Claim
    without_early: tuple[tuple[str, Estimate | NotEstimable], ...]
    """By measure, without the sites that stopped early."""


def result_of(sites: Sites) -> Result:
    claim_alpha, looks = _alpha(sites)
    return Result(
        flags=sum((sums.flags for sums in sites.exact), FlagTable()),
        sensitivity=rate(sites, SENSITIVITY),
        specificity=rate(sites, SPECIFICITY),
        not_assessed=rate(sites, NOT_ASSESSED),
        others=tuple(other_way(sites, measure) for measure in _OTHERS),
        areas=_areas(sites),
        bivariate=_bivariate(sites),
        characteristics=equity(sites),
        claim=_claim(sites, claim_alpha, looks),
        without_early=_without_early(sites),
    )


_OTHERS = (ASSESSED_SENSITIVITY, ASSESSED_SPECIFICITY, WORST_SPECIFICITY)
_ASKED = {
    ("sensitivity", "operational"): SENSITIVITY,
    ("specificity", "operational"): SPECIFICITY,
    ("sensitivity", "assessed"): ASSESSED_SENSITIVITY,
    ("specificity", "assessed"): ASSESSED_SPECIFICITY,
}


def _alpha(sites: Sites) -> tuple[float, int]:
    """Two-sided, of this look."""
    primary = sites.protocol.document["primary"]
    looks = max(1, len(sites.protocol.document.get("look", [])))
    critical = obrien_fleming(looks, 2 * primary["alpha"])[sites.look - 1]
    return 2 * float(stats.norm.sf(critical)), looks


def _claim(sites: Sites, alpha: float, looks: int) -> Claim:
    primary = sites.protocol.document["primary"]
    asked = primary["measure"], primary["estimand"]
    if primary["measure"] == "auroc":
        estimate = _area_interval([s.area for s in sites.exact], alpha)
    elif asked in _ASKED:
        estimate = pooled_interval(sites.exact, _ASKED[asked], alpha)
    else:
        estimate = NotEstimable("bundles do not have what the protocol asks")
    met = isinstance(estimate, Estimate) and estimate.low > primary["goal"]
    return Claim(primary["measure"], primary["goal"], estimate, met, looks)


def _areas(sites: Sites) -> Areas:
    of_sites = [(sums.origin.site, sums.area) for sums in sites.exact]
    known = [area for _, area in of_sites if isinstance(area, Area)]
    return Areas(
        pooled=pool_areas(known),
        estimate=_area_interval(known),
        sites=tuple((s, interval(a) if isinstance(a, Area) else a) for s, a in of_sites),
        over_sites=_areas_over_sites(known),
        across=_across(sites),
    )


def _area_interval(
    areas: Sequence[Area | NotEstimable], alpha: float = 0.05
) -> Estimate | NotEstimable:
    pooled = pool_areas([area for area in areas if isinstance(area, Area)])
    return pooled if isinstance(pooled, NotEstimable) else interval(pooled, alpha)


def _areas_over_sites(known: Sequence[Area]) -> OverSites | NotEstimable:
    inner = [area for area in known if 0 < area.value < 1 and area.variance]
    if len(inner) < 2:
        return NotEstimable("fewer than two sites have an area with an interval")
    value = np.array([area.value for area in inner])
    variance = np.array([area.variance for area in inner]) / (value * (1 - value)) ** 2
    effects = Effects(np.log(value / (1 - value)), variance)
    pooled = pool(effects)
    if isinstance(pooled, NotEstimable):
        return pooled
    further = as_share(pooled.prediction), as_share(bootstrap_prediction(effects))
    return OverSites(as_share(pooled.mean), *further, pooled.heterogeneity)


def histograms(sites: Sites) -> tuple[Counts, Counts]:
    """Of all sites with exact counts: with the condition, and without."""
    both = [(s.histogram.with_condition, s.histogram.without) for s in sites.exact]
    bins = np.array(both, np.int64).sum(0)
    return bins[0], bins[1]


def _across(sites: Sites) -> Bounds | NotEstimable:
    return bounds_of_bins(*histograms(sites)) if sites.exact else NotEstimable("no site")


def _bivariate(sites: Sites) -> Bivariate | NotEstimable:
    found = []
    for sums in sites.exact:
        right = SPECIFICITY.of(sums.flags)
        wrong = Share(right.cases - right.hits, right.cases)
        found.append(SiteAccuracy(SENSITIVITY.of(sums.flags), wrong))
    return pool_accuracy(tuple(found))


def _without_early(sites: Sites) -> tuple[tuple[str, Estimate | NotEstimable], ...]:
    early = set(sites.stopped_early)
    rest = [sums for sums in sites.exact if sums.origin.site not in early]
    measures: tuple[Measure, ...] = (SENSITIVITY, SPECIFICITY)
    return tuple((m.name, pooled_interval(rest, m)) for m in measures) if early else ()
