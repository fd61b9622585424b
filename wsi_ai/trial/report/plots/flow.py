"""From cases to the primary result, as STARD draws it."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from wsi_ai.trial.evidence.accuracy import FlagTable
from wsi_ai.trial.report.plots.frame import GREY, INK, drawing
from wsi_ai.trial.sums import SiteSums


@dataclass(frozen=True, slots=True)
class FlowCounts:
    """Of all sites with exact counts."""

    slides: int
    cases: int
    never_ran: int
    indeterminate: int
    unblinded: int
    off_protocol: int
    flags: FlagTable

    @property
    def counted(self) -> int:
        return self.flags.with_condition.cases + self.flags.without.cases


def flow_counts(exact: Sequence[SiteSums]) -> FlowCounts:
    def total(name: str) -> int:
        return sum(getattr(sums.flow, name) for sums in exact)

    names = ("slides", "cases", "never_ran", "indeterminate", "unblinded", "off_protocol")
    flags = sum((sums.flags for sums in exact), FlagTable())
    return FlowCounts(**{name: total(name) for name in names}, flags=flags)


def flow(found: FlowCounts) -> str:
    with drawing("flow", 4.3) as (made, axes):
        axes.set_axis_off()
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        ill, well = found.flags.with_condition, found.flags.without
        _box(axes, (34, 90), f"{found.cases:,} cases\n{found.slides:,} slides with a sealed flag")
        _box(
            axes, (81, 72),
            f"not in the primary result:\n{found.flags.unknown.cases:,} without a reference\n"
            f"{found.indeterminate:,} indeterminate\n{found.unblinded:,} reader saw the flag\n"
            f"{found.off_protocol:,} off protocol",
        )  # fmt: skip
        _box(axes, (34, 53), f"{found.counted:,} cases in the primary result\n"
                             f"{found.never_ran:,} of all cases have no flag at all")  # fmt: skip
        for x, name, levels in ((17, "with the condition", ill), (52, "without it", well)):
            _box(axes, (x, 31), f"{levels.cases:,} {name}")
            _box(
                axes, (x, 9),
                f"{levels.expedite:,} expedite\n{levels.standard:,} standard\n"
                f"{levels.not_assessed:,} not assessed",
            )  # fmt: skip
            _arrow(axes, (34, 46), (x, 36))
            _arrow(axes, (x, 26.5), (x, 17.5))
        _arrow(axes, (34, 83), (34, 60))
        _arrow(axes, (34, 72), (64, 72))
    return made.svg


def _box(axes: Axes, at: tuple[float, float], text: str) -> None:
    axes.text(
        *at, text, ha="center", va="center", color=INK, linespacing=1.35,
        bbox={"boxstyle": "square,pad=0.55", "facecolor": "white", "edgecolor": GREY},
    )  # fmt: skip


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)
