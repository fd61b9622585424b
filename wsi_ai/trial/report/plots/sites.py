"""Sites beside each other, on one scale, in the order of their codes: no ranking."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.region.rates import OverSites, Rate
from wsi_ai.trial.report.plots.frame import BLUE, GREY, INK, LIGHT, ORANGE, drawing, percent_axis
from wsi_ai.trial.sums import MixKind, SiteSums


def forest(rate: Rate, goal: float | None) -> str:
    """Each site, all cases together, the mean over sites, and where a further site may be."""
    with drawing(f"forest-{rate.name}", 1.7 + 0.24 * len(rate.sites)) as (made, axes):
        names = []
        for place, at in enumerate(rate.sites):
            names.append(f"{at.site}   {at.share.hits}/{at.share.cases}")
            _line(axes, -place, at.estimate, BLUE)
        below = -len(rate.sites) - 0.4
        _line(axes, below, rate.estimate, INK, marker="D")
        names.append(f"all cases   {rate.total.hits}/{rate.total.cases}")
        _over_sites(axes, below - 1, rate.over_sites)
        names += ["mean over sites", "a further site"]
        places = [-float(k) for k in range(len(rate.sites))] + [below, below - 1, below - 2]
        axes.set_yticks(places, names)
        axes.axhline(below + 0.7, color=LIGHT, linewidth=0.8)
        _goal(axes, goal)
        axes.set_ylim(below - 2.7, 0.7)
        axes.set_xlabel(f"{rate.name} (95 % interval)")
        _scale(axes, rate, goal)
    return made.svg


def _scale(axes: Axes, rate: Rate, goal: float | None) -> None:
    lows = [at.estimate.low for at in rate.sites if isinstance(at.estimate, Estimate)]
    if isinstance(rate.over_sites, OverSites) and isinstance(rate.over_sites.further, Estimate):
        lows.append(rate.over_sites.further.low)
    least = min([*lows, 1.0 if goal is None else goal], default=0.0)
    axes.set_xlim(max(0.0, math.floor(20 * least - 0.5) / 20), 1.005)
    percent_axis(axes.xaxis)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _goal(axes: Axes, goal: float | None) -> None:
    if goal is not None:
        axes.axvline(goal, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.text(goal, 0.75, f"goal {goal:.0%} ", color=ORANGE, ha="right", va="bottom")


def _line(
    axes: Axes, place: float, found: Estimate | NotEstimable, colour: str, marker: str = "s"
) -> None:
    if isinstance(found, NotEstimable):
        axes.text(0.99, place, "not estimable", ha="right", va="center", color=GREY)
        return
    axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1.6)
    axes.plot(found.value, place, marker, color=colour, markersize=5)


def _over_sites(axes: Axes, place: float, found: OverSites | NotEstimable) -> None:
    if isinstance(found, NotEstimable):
        _line(axes, place, found, INK)
        _line(axes, place - 1, found, GREY)
        return
    _line(axes, place, found.mean, INK, marker="D")
    further = found.further_bootstrap
    if isinstance(further, Estimate):
        axes.plot([further.low, further.high], [place - 1] * 2, color=GREY, linewidth=5, alpha=0.6)
        _line(axes, place - 1, further, GREY, marker="|")


def funnel(rate: Rate) -> str:
    """Chance makes small sites differ more: limits of 95 % and 99.8 % around all cases together."""
    with drawing("funnel", 3.4) as (made, axes):
        known = [at for at in rate.sites if at.share.cases]
        most = max([at.share.cases for at in known], default=1)
        middle = rate.total.hits / rate.total.cases if rate.total.cases else 0.0
        sizes = np.arange(1, round(1.15 * most) + 2)
        for share, style, label in ((0.95, "-", "95 % of sites"), (0.998, "--", "99.8 % of sites")):
            low, high = stats.binom.interval(share, sizes, middle)
            axes.plot(sizes, low / sizes, style, color=GREY, linewidth=1, label=label)
            axes.plot(sizes, high / sizes, style, color=GREY, linewidth=1)
        axes.axhline(middle, color=INK, linewidth=1)
        for at in known:
            y = at.share.hits / at.share.cases
            axes.plot(at.share.cases, y, "o", color=BLUE, markersize=5)
            axes.annotate(
                at.site, (at.share.cases, y), (4, 3), textcoords="offset points", fontsize=7.5
            )
        axes.set_xlabel("number of cases with the condition")
        axes.set_ylabel(rate.name)
        lows = [at.share.hits / at.share.cases for at in known]
        axes.set_ylim(max(0.0, min([*lows, middle]) - 0.12), 1.01)
        axes.set_xlim(0, sizes[-1])
        percent_axis(axes.yaxis)
        axes.legend(loc="lower right")
        axes.grid()
    return made.svg


def failures_by_scanner(exact: Sequence[SiteSums]) -> str:
    """Share of slides that were not assessed, site by scanner; the number stands in each field."""
    scanners = sorted({m.value for s in exact for m in s.mix if m.kind is MixKind.SCANNER})
    with drawing("scanners", 1.2 + 0.25 * len(exact)) as (made, axes):
        shares = np.full((len(exact), max(1, len(scanners))), np.nan)
        for row, sums in enumerate(exact):
            for mix in sums.mix:
                if mix.kind is MixKind.SCANNER and mix.slides:
                    shares[row, scanners.index(mix.value)] = mix.not_assessed / mix.slides
        axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=0.4)
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                ink = "white" if share > 0.2 else INK
                text = f"{100 * share:.0f} %"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8.5)
        axes.set_xticks(range(len(scanners)), scanners)
        axes.set_yticks(range(len(exact)), [sums.origin.site for sums in exact])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return made.svg
