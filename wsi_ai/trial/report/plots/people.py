"""For whom it is worse, or better, or too few to say."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.evidence.gaps import NotWorse, Verdict, Worse
from wsi_ai.trial.region.equity import Characteristic, Gap, LevelResult
from wsi_ai.trial.report.plots.frame import BLUE, GREY, LIGHT, ORANGE, drawing
from wsi_ai.trial.report.words import minus

_PANELS: tuple[tuple[str, Callable[[LevelResult], Gap | None]], ...] = (
    ("assessed", lambda level: level.assessed_gap),
    ("sensitivity", lambda level: level.sensitivity_gap),
    ("specificity", lambda level: level.specificity_gap),
)


def verdict_words(found: Verdict) -> str:
    if isinstance(found, Worse):
        return "worse"
    return "not worse" if isinstance(found, NotWorse) else "too few to say"


def gaps(characteristics: Sequence[Characteristic], measure: int) -> str:
    """Level minus reference level, with simultaneous intervals; one measure a plot."""
    title, of = _PANELS[measure]
    rows = [(c, level) for c in characteristics for level in c.levels if of(level) is not None]
    with drawing(f"gaps-{title}", 1.1 + 0.27 * max(1, len(rows))) as (made, axes):
        axes.axvline(0, color=GREY, linewidth=1)
        names = []
        reach = 0.12
        for place, (characteristic, level) in enumerate(rows):
            names.append(f"{characteristic.name}: {level.level}")
            gap = of(level)
            if gap is not None:
                reach = max(reach, _draw(axes, -place, gap))
            axes.plot(
                [-characteristic.tolerated] * 2, [-place - 0.45, -place + 0.45],
                color=ORANGE, linewidth=1.4,
            )  # fmt: skip
        axes.set_yticks([-k for k in range(len(rows))], names)
        axes.set_xlim(-min(reach, 1) * 1.08, min(reach, 1) * 1.6)
        ticks = axes.get_xticks()
        axes.set_xticks([tick for tick in ticks if abs(tick) <= min(reach, 1) * 1.08])
        for place, (_, level) in enumerate(rows):
            gap = of(level)
            if gap is not None:
                axes.text(
                    min(reach, 1) * 1.57, -place, verdict_words(gap.verdict), ha="right",
                    va="center", color=ORANGE if isinstance(gap.verdict, Worse) else GREY,
                    fontweight="bold" if isinstance(gap.verdict, Worse) else "normal",
                )  # fmt: skip
        axes.xaxis.set_major_formatter(
            lambda value, _: minus(f"{100 * value:+.0f}") if value else "0"
        )
        axes.set_xlabel(f"{title}: percentage points, level minus reference level")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=LIGHT)
    return made.svg


def _draw(axes: Axes, place: float, gap: Gap) -> float:
    """Returns how far the interval reaches."""
    found = gap.stratified if isinstance(gap.stratified, Estimate) else gap.crude
    if not isinstance(found, Estimate):
        return 0.0
    colour = ORANGE if isinstance(gap.verdict, Worse) else BLUE
    axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1.6)
    axes.plot(found.value, place, "s", color=colour, markersize=5)
    return max(abs(found.low), abs(found.high))
