"""The cases that come, and what the flags say of them.  Both arms see the same ones."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.trial.waiting.week import DAY_S, HOUR_S, WEEK_S

Seconds = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reading:
    """How long a case is in a reader's hands: a gamma distribution, in minutes."""

    mean_min: float
    spread: float = 1.0
    """Standard deviation by mean; at 1 it is exponential."""

    def __post_init__(self) -> None:
        if not (0 < self.mean_min < math.inf and 0 < self.spread < math.inf):
            raise ValueError(f"reading takes some time, got {self}")


@dataclass(frozen=True, slots=True)
class Demand:
    """What the laboratory sends."""

    per_hour: float
    """On average, while cases arrive."""
    prevalence: float
    """Share with the condition, of those that are not urgent by other means."""
    reading: Reading
    reading_condition: Reading | None = None
    """Of cases with the condition; none: as of the others."""
    urgent: float = 0.0
    """Share that is urgent by other means, and before any flag."""
    reading_urgent: Reading = Reading(5.0)
    releases_h: tuple[float, ...] = ()
    """Hours of a day at which what came since the last release is handed over; none: at once."""
    on_weekends: bool = True
    backlog: int = 0
    """Number of cases that wait when the first week begins."""

    def __post_init__(self) -> None:
        if not (0 < self.per_hour < math.inf and self.backlog >= 0):
            raise ValueError(f"some cases arrive, got {self.per_hour} an hour")
        if not (0 <= self.prevalence <= 1 and 0 <= self.urgent <= 1):
            raise ValueError("a share is in 0..1")
        if not all(0 <= hour < 24 for hour in self.releases_h):
            raise ValueError("a release is at an hour of the day")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of the flags, on assessed cases; and the share that is not assessed."""

    sensitivity: float
    specificity: float
    not_assessed: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.sensitivity, self.specificity, self.not_assessed)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("a share is in 0..1")


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """A row a case, by arrival."""

    arrival_s: Seconds
    reading_s: Seconds
    condition: Flags
    urgent: Flags
    flagged: Flags

    def __post_init__(self) -> None:
        columns = (self.arrival_s, self.reading_s, self.condition, self.urgent, self.flagged)
        if len({column.shape for column in columns}) != 1:
            raise ValueError("columns of one table have one length")
        if (np.diff(self.arrival_s) < 0).any() or (self.reading_s < 1).any():
            raise ValueError("cases are in order of arrival, and each takes a second or more")

    def __len__(self) -> int:
        return len(self.arrival_s)


def draw_cases(demand: Demand, accuracy: Accuracy, number: int, rng: np.random.Generator) -> Cases:
    """Number of cases that come, besides those of the backlog."""
    total = demand.backlog + number
    urgent = rng.random(total) < demand.urgent
    condition = (rng.random(total) < demand.prevalence) & ~urgent
    chance, failed = rng.random(total), rng.random(total) < accuracy.not_assessed
    positive = np.where(condition, chance < accuracy.sensitivity, chance >= accuracy.specificity)
    return Cases(
        arrival_s=np.concatenate(
            [np.zeros(demand.backlog, np.int64), _arrivals(demand, number, rng)]
        ),
        reading_s=_readings(demand, condition, urgent, rng),
        condition=condition,
        urgent=urgent,
        flagged=positive & ~failed & ~urgent,
    )


def _arrivals(demand: Demand, number: int, rng: np.random.Generator) -> Seconds:
    """Drawn on the days on which there is work, and then laid on the calendar."""
    at = np.cumsum(rng.exponential(HOUR_S / demand.per_hour, number)).astype(np.int64)
    if demand.releases_h:
        at = _released(at, demand.releases_h)
    if demand.on_weekends:
        return at
    weeks, rest = np.divmod(at, 5 * DAY_S)
    return weeks * WEEK_S + rest


def _released(at: Seconds, releases_h: tuple[float, ...]) -> Seconds:
    """At the next release, which may be that of the next day."""
    slots = np.sort(np.round(np.array(releases_h) * HOUR_S).astype(np.int64))
    days, rest = np.divmod(at, DAY_S)
    slot = np.searchsorted(slots, rest)
    tomorrow = slot == len(slots)
    return np.asarray((days + tomorrow) * DAY_S + slots[np.where(tomorrow, 0, slot)], np.int64)


def _readings(demand: Demand, condition: Flags, urgent: Flags, rng: np.random.Generator) -> Seconds:
    other, number = demand.reading, len(condition)
    ordinary = np.where(
        condition,
        _durations(demand.reading_condition or other, number, rng),
        _durations(other, number, rng),
    )
    return np.where(urgent, _durations(demand.reading_urgent, number, rng), ordinary)


def _durations(reading: Reading, number: int, rng: np.random.Generator) -> Seconds:
    shape = 1 / reading.spread**2
    drawn = rng.gamma(shape, 60 * reading.mean_min / shape, number)
    return np.maximum(1, np.rint(drawn)).astype(np.int64)
