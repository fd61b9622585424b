"""The numbers behind every plot."""

from collections.abc import Mapping, Sequence

import numpy as np

from wsi_ai.trial.disclosure.site import LEVELS, TRUTHS
from wsi_ai.trial.evidence.accuracy import FlagTable
from wsi_ai.trial.evidence.accuracy import predictive as predictive_values
from wsi_ai.trial.evidence.auroc import Bounds
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.shares import Share
from wsi_ai.trial.region.equity import Characteristic, Gap, LevelResult
from wsi_ai.trial.region.rates import OverSites, Rate
from wsi_ai.trial.region.result import Counts, Result
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.report.plots.flow import FlowCounts
from wsi_ai.trial.report.plots.people import verdict_words
from wsi_ai.trial.report.plots.time import MonthOfAll
from wsi_ai.trial.report.words import (
    Table,
    area,
    ends,
    interval,
    minus,
    p_value,
    percent,
    points,
    share,
    share_interval,
)
from wsi_ai.trial.sums import SCORE_EDGES, MixKind, SiteSums
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Gain

_TRUTH_WORDS = ("with the condition", "without it", "no reference")


def is_exploratory(sites: Sites, measure: str) -> bool:
    """The protocol does not ask for it."""
    document = sites.protocol.document
    asked = {document["primary"]["measure"], *(a["measure"] for a in document.get("secondary", []))}
    return measure not in asked


def flow_table(found: FlowCounts) -> Table:
    rows = (
        ("cases of either side", found.cases),
        ("in the primary result", found.counted),
        ("of all: reference, but no flag at all", found.never_ran),
        ("without a reference", found.flags.unknown.cases),
        ("reference indeterminate", found.indeterminate),
        ("a reader of the reference saw the flag", found.unblinded),
        ("off protocol: another model, policy or setting", found.off_protocol),
    )
    return Table("Cases", ("", "cases"), tuple((name, f"{n:,}") for name, n in rows))


def flags(found: FlagTable) -> Table:
    columns = [getattr(found, truth) for truth in (*TRUTHS, "unknown")]
    rows = [
        (level.replace("_", " "), *(f"{getattr(column, level):,}" for column in columns))
        for level in LEVELS
    ]
    total = ("all", *(f"{column.cases:,}" for column in columns))
    return Table("Flags by truth", ("flag", *_TRUTH_WORDS), (*rows, total))


def results(sites: Sites, result: Result) -> Table:
    rates = (result.sensitivity, result.specificity, result.not_assessed)
    rows = [
        (rate.name, share(rate.total), interval(rate.estimate), _bounds(rate)) for rate in rates
    ]
    rows += [(one.name, share(one.total), interval(one.estimate), "") for one in result.others]
    rows += [
        (f"{name}, without sites that stopped early", "", interval(found), "")
        for name, found in result.without_early
    ]
    rows.append(("AUROC, pairs within a site", "", area(result.areas.estimate), ""))
    claim = result.claim
    if sites.look < claim.looks:
        rows.append((f"{claim.measure} at this look", "", interval(claim.estimate), ""))
    return Table(
        "Results", ("measure", "cases", "95 % interval", "with rounded sites, bounds"), tuple(rows)
    )


def _bounds(rate: Rate) -> str:
    if rate.bounds is None:
        return ""
    return f"{100 * rate.bounds[0]:.1f} to {percent(rate.bounds[1])}"


def predictive(found: FlagTable) -> Table:
    values = predictive_values(found)
    rows = (
        ("has the condition, if expedite", values.condition_if_expedite),
        ("has it not, if standard", values.none_if_standard),
        ("has it not, if not expedited", values.none_if_not_expedited),
    )
    made = tuple((name, share(found), share_interval(found)) for name, found in rows)
    return Table("At this trial's prevalence only", ("a case", "cases", "95 % interval"), made)


def reasons(sites: Sites) -> Table:
    found: dict[str, list[int]] = {}
    for sums in sites.exact:
        for reason in sums.reasons:
            at = found.setdefault(reason.code, [0, 0, 0])
            for k, n in enumerate((reason.with_condition, reason.without, reason.unknown)):
                at[k] += n
    rows = tuple(
        (code.replace("_", " "), *(f"{n:,}" for n in numbers))
        for code, numbers in sorted(found.items(), key=lambda named: -sum(named[1]))
    )
    return Table("Reasons", ("reason", *_TRUTH_WORDS), rows)


def by_site(rate: Rate) -> Table:
    rows = tuple((at.site, share(at.share), interval(at.estimate)) for at in rate.sites)
    total = ("all cases", share(rate.total), interval(rate.estimate))
    return Table(
        f"{rate.name.capitalize()} by site", ("site", "cases", "95 % interval"), (*rows, total)
    )


def over_sites(rate: Rate) -> Table:
    found = rate.over_sites
    if isinstance(found, NotEstimable):
        return Table("Over sites", ("", ""), (("mean over sites", found.reason),))
    spread = found.heterogeneity
    rows = (
        ("mean over sites (REML, Knapp and Hartung)", interval(found.mean)),
        ("a further site (bootstrap)", ends(found.further_bootstrap)),
        ("a further site (Student's t: holds it less often than it says)", ends(found.further)),
        ("τ, standard deviation between sites (logit)", f"{spread.tau2**0.5:.3f}"),
        ("Q; I²", f"{spread.q:.1f}; {100 * spread.i2:.0f} %"),
    )
    return Table("Over sites", ("", ""), rows)


def without_each(rate: Rate) -> Table:
    rows = tuple((site, interval(found)) for site, found in rate.without_each)
    return Table(f"{rate.name.capitalize()} without one site", ("left out", "95 % interval"), rows)


def scanners(exact: Sequence[SiteSums]) -> Table:
    rows = tuple(
        (sums.origin.site, mix.value, share(Share(mix.not_assessed, mix.slides)))
        for sums in exact
        for mix in sums.mix
        if mix.kind is MixKind.SCANNER
    )
    return Table("Slides not assessed", ("site", "scanner", "slides"), rows)


def areas(result: Result) -> Table:
    found = result.areas
    rows = [(site, area(one)) for site, one in found.sites]
    rows.append(("pairs within a site", area(found.estimate)))
    if isinstance(found.over_sites, OverSites):
        rows.append(("mean over sites", area(found.over_sites.mean)))
        rows.append(("a further site (bootstrap)", _area_ends(found.over_sites.further_bootstrap)))
    if isinstance(found.across, Bounds):
        text = f"between {found.across.least:.3f} and {found.across.greatest:.3f}"
        rows.append(("assessed cases across sites, from histograms", text))
    return Table("AUROC", ("", "95 % interval"), tuple(rows))


def _area_ends(found: Estimate | NotEstimable) -> str:
    if isinstance(found, NotEstimable):
        return "not estimable"
    return f"{found.low:.3f} to {found.high:.3f}"


def bands(ill: Counts, well: Counts) -> Table:
    rows = tuple(
        (
            f"{SCORE_EDGES[k]:.2f} to {SCORE_EDGES[k + 1]:.2f}",
            share(Share(int(ill[k]), int(ill[k] + well[k]))),
            share_interval(Share(int(ill[k]), int(ill[k] + well[k]))),
        )
        for k in np.flatnonzero(ill + well)
    )
    return Table("Assessed cases by score", ("score", "with the condition", "95 % interval"), rows)


def benefit(curves: Mapping[str, list[float]], thresholds: Sequence[float]) -> Table:
    shown = [k for k, t in enumerate(thresholds) if round(100 * t) in (5, 10, 20, 30, 40, 50)]
    rows = tuple(
        (percent(thresholds[k], 0), *(minus(f"{values[k]:.3f}") for values in curves.values()))
        for k in shown
    )
    return Table("Net benefit, by case", ("chance", *curves), rows if curves else ())


def gaps(characteristics: Sequence[Characteristic], measure: int) -> Table:
    rows = [
        _gap_row(characteristic, level, measure)
        for characteristic in characteristics
        for level in characteristic.levels
    ]
    if measure == 1:
        rows += [
            (f"{c.name}: any level differs", "", "", "", "", p_value(c.p_sensitivity))
            for c in characteristics
        ]
    columns = ("level", "cases", "share", "gap, crude", "gap, over sites", "verdict")
    return Table("Gaps in percentage points", columns, tuple(rows))


def _gap_row(characteristic: Characteristic, level: LevelResult, measure: int) -> tuple[str, ...]:
    found = (level.assessed, level.sensitivity, level.specificity)[measure]
    gap = (level.assessed_gap, level.sensitivity_gap, level.specificity_gap)[measure]
    mark = " (exploratory)" if characteristic.kind == "exploratory" else ""
    name = f"{characteristic.name}: {level.level}{mark}"
    if gap is None:
        return name, share(found), share_interval(found), "", "", _no_gap(characteristic, level)
    return (
        name, share(found), share_interval(found), points(gap.crude), points(gap.stratified),
        _verdict(gap),
    )  # fmt: skip


def _no_gap(characteristic: Characteristic, level: LevelResult) -> str:
    is_reference = level.level == characteristic.reference
    return "reference level" if is_reference else "not compared: no slide says it"


def _verdict(gap: Gap) -> str:
    needed = "" if gap.cases_needed is None else f"; about {gap.cases_needed:,} cases would"
    return f"{verdict_words(gap.verdict)}{needed}"


def months(found: Mapping[str, MonthOfAll]) -> Table:
    rows = tuple(
        (
            month,
            f"{one.cases:,}",
            share_interval(Share(one.expedite, one.cases)),
            share_interval(Share(one.not_assessed, one.cases)),
            "" if one.index is None else f"{one.index:.2f} ({one.by_chance:.2f})",
        )
        for month, one in found.items()
    )
    columns = (
        "month",
        "cases",
        "expedite",
        "not assessed",
        "highest stability index of a site (by chance)",
    )
    return Table("Months", columns, rows)


def waits(found: Mapping[Group, Gain]) -> Table:
    rows = tuple(
        (
            group.value,
            _hours(gain.without_flags.mean_h),
            _hours(gain.with_flags.mean_h),
            _change(gain.change_h),
            f"{_hours(gain.without_flags.p95_h)} → {_hours(gain.with_flags.p95_h)}",
        )
        for group, gain in found.items()
    )
    columns = ("cases", "mean without flags", "mean with flags", "change", "95th percentile")
    return Table("Hours until a reader begins", columns, rows)


def _hours(found: Estimate | NotEstimable) -> str:
    return f"{found.value:.1f}" if isinstance(found, Estimate) else "?"


def _change(found: Estimate | NotEstimable) -> str:
    if isinstance(found, NotEstimable):
        return "not estimable"
    return minus(f"{found.value:+.1f} ({found.low:+.1f} to {found.high:+.1f})")
