"""What changes while the trial runs, and how long cases wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.report.plots.frame import BLUE, GREY, INK, LIGHT, ORANGE, drawing, percent_axis
from wsi_ai.trial.sums import Month, SiteSums
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Gain

_DECILES = 10


@dataclass(frozen=True, slots=True)
class MonthOfAll:
    """All sites together, and the site whose scores moved furthest beyond chance."""

    cases: int
    expedite: int
    not_assessed: int
    index: float | None
    """Population stability index."""
    by_chance: float
    """What it is on average where nothing changed: with few cases a lot."""


def by_month(exact: Sequence[SiteSums]) -> dict[str, MonthOfAll]:
    names = sorted({month.month for sums in exact for month in sums.months})
    return {name: _month(name, exact) for name in names}


def _month(name: str, exact: Sequence[SiteSums]) -> MonthOfAll:
    here = [(m, sums.months[0]) for sums in exact for m in sums.months if m.month == name]
    known = [(m.stability, _by_chance(m, first)) for m, first in here if m.stability is not None]
    index, chance = max(known, key=lambda pair: pair[0] / pair[1], default=(None, 0.0))
    return MonthOfAll(
        sum(m.cases for m, _ in here),
        sum(m.expedite for m, _ in here),
        sum(m.not_assessed for m, _ in here),
        index,
        chance,
    )


def _by_chance(month: Month, first: Month) -> float:
    """Of deciles, to first order: the mean of a chi-square over the number of cases."""
    scored = [max(1, one.cases - one.not_assessed) for one in (month, first)]
    return (_DECILES - 1) * sum(1 / number for number in scored)


def drift(exact: Sequence[SiteSums]) -> str:
    """Share flagged and share not assessed, month by month: each site thin, all together thick."""
    with drawing("drift", 3.0) as (made, axes):
        months = by_month(exact)
        place = {month: k for k, month in enumerate(months)}
        for sums in exact:
            used = [m for m in sums.months if m.cases]
            x = [place[m.month] for m in used]
            axes.plot(x, [m.expedite / m.cases for m in used], color=BLUE, alpha=0.2, linewidth=0.8)
            failed = [m.not_assessed / m.cases for m in used]
            axes.plot(x, failed, color=ORANGE, alpha=0.2, linewidth=0.8)
        counted = [(place[month], one) for month, one in months.items() if one.cases]
        x = [k for k, _ in counted]
        axes.plot(
            x, [one.expedite / one.cases for _, one in counted], "-o", color=BLUE, label="expedite"
        )
        axes.plot(
            x,
            [one.not_assessed / one.cases for _, one in counted],
            "-s",
            color=ORANGE,
            label="not assessed",
        )
        axes.set_xticks(range(len(months)), list(months))
        axes.set_ylabel("share of flagged cases")
        axes.set_ylim(bottom=0)
        percent_axis(axes.yaxis)
        axes.legend(loc="upper right", ncols=2)
        axes.grid(axis="y")
    return made.svg


def waits(found: Mapping[Group, Gain]) -> str:
    """Mean and 95th percentile, without flags and with them, of those who gain and who pay."""
    groups = [group for group in _SHOWN if group in found]
    with drawing("waits", 1.2 + 0.62 * max(1, len(groups))) as (made, axes):
        names = []
        for place, group in enumerate(groups):
            names.append(group.value)
            arms = (found[group].without_flags, GREY, 0.16), (found[group].with_flags, BLUE, -0.16)
            for arm, colour, up in arms:
                if isinstance(arm.mean_h, Estimate) and isinstance(arm.p95_h, Estimate):
                    y, mean, most = -place + up, arm.mean_h.value, arm.p95_h.value
                    axes.barh(y, mean, 0.28, color=colour)
                    axes.plot([mean, most], [y, y], color=colour, linewidth=1.2)
                    axes.plot(most, y, "|", color=INK, markersize=9)
        for colour, label in ((GREY, "without flags"), (BLUE, "with flags")):
            axes.barh(np.nan, 0, color=colour, label=label)
        axes.plot([], [], "|", color=INK, markersize=9, label="one in twenty waits longer")
        axes.set_yticks([-k for k in range(len(groups))], names)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("hours until a reader begins")
        axes.set_xlim(left=0)
        axes.grid(axis="x", color=LIGHT)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return made.svg


_SHOWN = (Group.CONDITION, Group.FLAGGED, Group.MISSED, Group.NO_CONDITION)
