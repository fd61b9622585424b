"""How many machines a load wants, by a queue that is simulated."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wsi_ai.bench import hours
from wsi_ai.bench.region import DAY_S, Found, Region, Stages, Trust, simulate

DAYS, SEEDS = 3, (20, 21, 22)
_MOST_MACHINES = 4096
_HOURS: Mapping[str, Callable[[], list[Trust]]] = {
    "region": hours.trusts,
    "day": hours.one_lab,
    "even": hours.evenly,
}


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in a day, and what is promised."""

    slides_a_day: int
    minutes: float
    share: float
    urgent: float
    hours: str

    def __post_init__(self) -> None:
        sound = self.slides_a_day >= 1 and self.minutes > 0 and 0 < self.share < 1
        if not sound or self.hours not in _HOURS:
            raise ValueError("slides come, in known hours, and some share of them is to be in time")

    @property
    def region(self) -> Region:
        return Region(_HOURS[self.hours](), self.slides_a_day, self.urgent)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The least number of machines that keeps the promise, and how it was there."""

    machines: int
    by_division: int
    """What slides times seconds alone would say."""
    late: float
    """Share of slides that came late, in the worst of the simulated spells."""
    found: Found


def share_in_time(load: Load, stages: Stages, machines: int, seed: int) -> tuple[float, Found]:
    """Of the urgent ones or of the others, whichever has the smaller share."""
    found = simulate(load.region, stages, machines, DAYS, seed, load.minutes)
    return min(found.urgent.in_time, found.others.in_time), found


def fewest_machines(load: Load, stages: Stages) -> Fleet | None:
    """In the worst of several simulated spells; ``None`` where no number is enough, as where one
    slide alone takes longer than that."""
    mean_s = float(np.mean(stages.busy_s()))
    least = max(1, math.ceil(load.slides_a_day * mean_s / DAY_S))

    def worst(machines: int) -> tuple[float, Found]:
        spells = (share_in_time(load, stages, machines, seed) for seed in SEEDS)
        return min(spells, key=lambda spell: spell[0])

    high = least
    while worst(high)[0] < load.share:
        if high > _MOST_MACHINES:
            return None
        high *= 2
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if worst(middle)[0] >= load.share else (middle + 1, high)
    share, found = worst(high)
    return Fleet(high, least, 1 - share, found)
