"""How well flags part cases with the condition from those without."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import special, stats

from wsi_ai.trial.evidence.bivariate import Bivariate
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.shares import Share, wilson
from wsi_ai.trial.region.rates import Rate
from wsi_ai.trial.region.result import Counts, Result
from wsi_ai.trial.report.plots.frame import BLUE, GREY, INK, LIGHT, ORANGE, drawing, percent_axis
from wsi_ai.trial.sums import SCORE_EDGES

Floats = NDArray[np.float64]


def roc_points(ill: Counts, well: Counts, failed: tuple[int, int]) -> tuple[Floats, Floats]:
    """False positive rate and sensitivity at each bin's edge, from the highest score down; cases
    that were not assessed come last."""
    found = []
    for bins, last in zip((well, ill), failed, strict=True):
        flagged = np.concatenate([[0], np.cumsum(bins[::-1]), [bins.sum() + last]])
        found.append(flagged / max(1, flagged[-1]))
    return found[0], found[1]


def roc(result: Result, ill: Counts, well: Counts) -> str:
    failed = result.flags.without.not_assessed, result.flags.with_condition.not_assessed
    with drawing("roc", 4.2, 4.6) as (made, axes):
        x, y = roc_points(ill, well, failed)
        axes.plot([0, 1], [0, 1], color=LIGHT, linewidth=1)
        axes.plot(x, y, "-o", color=BLUE, linewidth=1.6, markersize=2.5, label="by score band")
        _cross(axes, result.specificity.estimate, result.sensitivity.estimate)
        _plane(axes)
        axes.legend(loc="lower right")
    return made.svg


def _cross(
    axes: Axes, specificity: Estimate | NotEstimable, sensitivity: Estimate | NotEstimable
) -> None:
    """The operating point, with both intervals."""
    if isinstance(specificity, NotEstimable) or isinstance(sensitivity, NotEstimable):
        return
    x, y = 1 - specificity.value, sensitivity.value
    axes.errorbar(
        x, y,
        xerr=[[specificity.high - specificity.value], [specificity.value - specificity.low]],
        yerr=[[sensitivity.value - sensitivity.low], [sensitivity.high - sensitivity.value]],
        fmt="D", color=ORANGE, markersize=6, capsize=3, label="the flag, 95 % intervals",
    )  # fmt: skip


def _plane(axes: Axes) -> None:
    axes.set_xlabel("flagged, of cases without the condition")
    axes.set_ylabel("flagged, of cases with the condition")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()


def plane(sensitivity: Rate, specificity: Rate, found: Bivariate | NotEstimable) -> str:
    """Each site, and the region that holds the mean with 95 %."""
    with drawing("plane", 4.2, 4.6) as (made, axes):
        points = [
            (1 - b.share.hits / b.share.cases, a.share.hits / a.share.cases, a.share.cases)
            for a, b in zip(sensitivity.sites, specificity.sites, strict=True)
            if a.share.cases and b.share.cases
        ]
        for x, y, cases in points:
            axes.plot(x, y, "o", color=BLUE, alpha=0.55, markersize=3 + cases**0.5 / 2.5)
        if isinstance(found, Bivariate):
            mean = special.expit(found.mean)
            axes.plot(mean[1], mean[0], "D", color=ORANGE, markersize=6, label="mean over sites")
            for matrix, style, label in (
                (found.covariance, "-", "95 % region of the mean"),
                (found.covariance + found.between, "--", "95 % region of a further site"),
            ):
                ring = special.expit(found.mean[:, None] + _ellipse(matrix))
                axes.plot(ring[1], ring[0], style, color=ORANGE, linewidth=1.2, label=label)
            axes.legend(loc="lower right")
        _plane(axes)
        if points:
            axes.set_xlim(-0.005, min(1.0, max(0.3, 1.6 * max(x for x, _, _ in points))))
            axes.set_ylim(max(0.0, min(y for _, y, _ in points) - 0.25), 1.01)
    return made.svg


def _ellipse(matrix: Floats) -> Floats:
    turn = np.linspace(0, 2 * np.pi, 100)
    values, vectors = np.linalg.eigh(matrix)
    reach = np.sqrt(np.maximum(values, 0) * stats.chi2.isf(0.05, 2))
    ring = vectors @ (reach[:, None] * np.stack([np.cos(turn), np.sin(turn)]))
    return np.asarray(ring, np.float64)


def observed(ill: Counts, well: Counts, threshold: float) -> str:
    """Share with the condition, by score band, over the number of cases in each."""
    with drawing("bands", 3.3) as (made, axes):
        cases = ill + well
        width = SCORE_EDGES[1]
        axes.bar(
            SCORE_EDGES[:-1], 0.25 * cases / max(1, int(cases.max())), width, align="edge",
            color=LIGHT, edgecolor="white", label="number of cases",
        )  # fmt: skip
        for k in np.flatnonzero(cases):
            found = wilson(Share(int(ill[k]), int(cases[k])))
            if isinstance(found, Estimate):
                x = SCORE_EDGES[k] + width / 2
                axes.plot([x, x], [found.low, found.high], color=BLUE, linewidth=1.4)
                axes.plot(x, found.value, "o", color=BLUE, markersize=4.5)
        axes.axvline(threshold, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.text(threshold, 1.03, f" flagged from {threshold:g} on", color=ORANGE, va="bottom")
        axes.set_xlabel("score")
        axes.set_ylabel("observed share with the condition")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        percent_axis(axes.yaxis)
        axes.legend(loc="upper left")
        axes.grid(axis="y")
    return made.svg


def benefit_curves(result: Result, thresholds: Sequence[float]) -> dict[str, list[float]]:
    """Of flagging by the model, of flagging every case, and of flagging none."""
    ill, well = result.flags.with_condition, result.flags.without
    if not ill.cases + well.cases:
        return {}
    arms = {
        "flags of the model": (ill.expedite, well.expedite),
        "every case first": (ill.cases, well.cases),
        "no case first": (0, 0),
    }
    return {
        name: [(hits - alarms * t / (1 - t)) / (ill.cases + well.cases) for t in thresholds]
        for name, (hits, alarms) in arms.items()
    }


def benefit(curves: dict[str, list[float]], thresholds: Sequence[float]) -> str:
    styles = (("-", BLUE), ("--", GREY), (":", INK))
    with drawing("benefit", 3.2) as (made, axes):
        for (name, values), (style, colour) in zip(curves.items(), styles, strict=False):
            axes.plot(thresholds, values, style, color=colour, linewidth=1.6, label=name)
        top = max([v for values in curves.values() for v in values], default=1.0)
        axes.set_ylim(-0.3 * top, 1.15 * top)
        axes.set_xlabel("chance of the condition from which a case should come first")
        axes.set_ylabel("net benefit, by case")
        percent_axis(axes.xaxis)
        axes.legend()
        axes.grid()
    return made.svg
