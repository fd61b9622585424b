"""Plots and tables of a report, in the order in which they are read."""

from collections.abc import Iterator, Mapping

from wsi_ai.trial.evidence.bivariate import Bivariate
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.region.result import Result, histograms
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.report import tables
from wsi_ai.trial.report.plots import accuracy, people, time
from wsi_ai.trial.report.plots import sites as site_plots
from wsi_ai.trial.report.plots.flow import flow, flow_counts
from wsi_ai.trial.report.words import Exhibit, area, interval
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Gain

_NEARLY_1 = 0.99
_THRESHOLDS = tuple(k / 100 for k in range(1, 61))


def exhibits(
    sites: Sites, result: Result, gains: Mapping[Group, Gain] | None
) -> tuple[Exhibit, ...]:
    return (
        *_main(sites, result),
        *_of_sites(sites, result),
        *_of_scores(sites, result),
        *_of_people(result),
        *_of_time(sites, gains),
    )


def _main(sites: Sites, result: Result) -> Iterator[Exhibit]:
    counts = flow_counts(sites.exact)
    yield Exhibit(
        "flow", "Flow", "Every case of either side, once: what is counted, and what is not.",
        (tables.flow_table(counts),), flow(counts),
    )  # fmt: skip
    yield Exhibit(
        "results", "Results",
        "A case that was not assessed waits its turn, so it counts as not expedited. The other ways"
        " to count stand beside it: leaving failures out flatters.",
        (
            tables.results(sites, result),
            tables.flags(result.flags),
            tables.predictive(result.flags),
        ),
    )  # fmt: skip
    yield Exhibit(
        "reasons", "Why cases were not assessed", "By what each case really was.",
        (tables.reasons(sites),),
    )  # fmt: skip


def _of_sites(sites: Sites, result: Result) -> Iterator[Exhibit]:
    if not sites.exact:
        return
    primary = sites.protocol.document["primary"]
    for rate in (result.sensitivity, result.specificity):
        goal = primary["goal"] if primary["measure"] == rate.name else None
        yield Exhibit(
            f"sites-{rate.name}", f"Sites: {rate.name}",
            "Each site alone, all cases together, the mean over sites, and where the true value of"
            " one more site may be. Sites stand in the order of their codes: this is no ranking.",
            (tables.by_site(rate), tables.over_sites(rate)),
            site_plots.forest(rate, goal), tables.is_exploratory(sites, rate.name),
        )  # fmt: skip
    yield Exhibit(
        "funnel", "Do sites differ more than by chance?",
        "A site outside the outer lines differs more than chance makes 2 sites of 1,000 differ.",
        (tables.without_each(result.sensitivity),), site_plots.funnel(result.sensitivity),
    )  # fmt: skip
    yield Exhibit(
        "scanners", "Not assessed, by site and scanner", "Share of slides that were not assessed.",
        (tables.scanners(sites.exact),), site_plots.failures_by_scanner(sites.exact),
    )  # fmt: skip


def _of_scores(sites: Sites, result: Result) -> Iterator[Exhibit]:
    if not sites.exact:
        return
    ill, well = histograms(sites)
    threshold = sites.protocol.document["index_test"]["operating_point"]
    yield Exhibit(
        "roc", "ROC curve", f"AUROC of pairs within a site: {area(result.areas.estimate)}.",
        (tables.areas(result),), accuracy.roc(result, ill, well),
        tables.is_exploratory(sites, "auroc"),
    )  # fmt: skip
    yield Exhibit(
        "plane", "Sensitivity and false positives together", _both(result.bivariate), (),
        accuracy.plane(result.sensitivity, result.specificity, result.bivariate),
    )  # fmt: skip
    yield Exhibit(
        "bands", "Score bands",
        "The score is no probability: what counts is the share that was observed with it."
        if sites.protocol.document["index_test"]["score_kind"] == "uncalibrated_score"
        else "Observed share by predicted probability.",
        (tables.bands(ill, well),), accuracy.observed(ill, well, threshold),
    )  # fmt: skip
    curves = accuracy.benefit_curves(result, _THRESHOLDS)
    yield Exhibit(
        "benefit", "Net benefit of flags",
        "Cases with the condition that come first, less those without it at the rate of exchange"
        " that the chance on the horizontal axis stands for. At this trial's prevalence only.",
        (tables.benefit(curves, _THRESHOLDS),), accuracy.benefit(curves, _THRESHOLDS), True,
    )  # fmt: skip


def _both(found: Bivariate | NotEstimable) -> str:
    if isinstance(found, NotEstimable):
        return f"The bivariate model is not estimable: {found.reason}."
    wrong = found.false_positive_rate
    specificity = Estimate(1 - wrong.value, 1 - wrong.high, 1 - wrong.low)
    limit = ", at its limit: too few sites to say" if abs(found.correlation) > _NEARLY_1 else ""
    return (
        f"Bivariate model: sensitivity {interval(found.sensitivity)}, specificity"
        f" {interval(specificity)}; correlation between sites {found.correlation:+.2f}{limit}."
        " Larger circles are larger sites."
    )


def _of_people(result: Result) -> Iterator[Exhibit]:
    if not result.characteristics:
        return
    for measure, title in enumerate(("assessed", "sensitivity", "specificity")):
        yield Exhibit(
            f"people-{title}", f"For whom: {title}",
            "Gap to the reference level, over sites (Mantel and Haenszel), with intervals that hold"
            " for all levels of a characteristic at once; the short line is what the protocol"
            " tolerates. “Too few to say” never means “no difference”.",
            (tables.gaps(result.characteristics, measure),),
            people.gaps(result.characteristics, measure),
        )  # fmt: skip


def _of_time(sites: Sites, gains: Mapping[Group, Gain] | None) -> Iterator[Exhibit]:
    months = time.by_month(sites.exact)
    if months:
        yield Exhibit(
            "drift", "Month by month",
            "Thin lines are sites. A stability index from 0.1 on is worth a look, from 0.25 on a"
            " reason to act, where it is well above what chance alone makes, in brackets.",
            (tables.months(months),), time.drift(sites.exact),
        )  # fmt: skip
    if gains is not None:
        yield Exhibit(
            "waits", "Time to first look",
            "Simulated. Flags make nobody faster: whoever gains, somebody pays. Bars are means.",
            (tables.waits(gains),), time.waits(gains),
        )  # fmt: skip
