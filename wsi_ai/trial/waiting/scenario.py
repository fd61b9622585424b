"""A reading list, and what flags of known accuracy would change in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.waiting.cases import Accuracy, Demand, Reading, draw_cases
from wsi_ai.trial.waiting.gain import Change, Group, Waiting, changes, over_replicates
from wsi_ai.trial.waiting.reading import Staff, waits_s
from wsi_ai.trial.waiting.week import DAY_S, HOUR_S, WEEK_S
from wsi_ai.trial.waiting.worklist import WITHOUT_FLAGS, Order


@dataclass(frozen=True, slots=True)
class Scenario:
    """One setting, drawn several times."""

    demand: Demand
    accuracy: Accuracy
    staff: Staff
    order: Order
    weeks: int
    runs: int
    seed: int

    def __post_init__(self) -> None:
        if self.weeks < 1 or self.runs < 2 or self.order.flags_after_s is None:
            raise ValueError("a scenario has flags, a week or more, and two runs or more")

    @property
    def cases_a_run(self) -> int:
        """Besides the backlog."""
        hours = self.weeks * (7 if self.demand.on_weekends else 5) * DAY_S / HOUR_S
        return max(1, round(hours * self.demand.per_hour))

    @property
    def load(self) -> float:
        """Work that comes, by the hours in which readers begin cases."""
        a_week = self.cases_a_run / self.weeks * _mean_reading_s(self.demand)
        return a_week / (self.staff.readers * self.staff.hours.open_s)


@dataclass(frozen=True, slots=True)
class Arm:
    """Over all runs, in hours."""

    mean_h: Estimate | NotEstimable
    p95_h: Estimate | NotEstimable


@dataclass(frozen=True, slots=True)
class Gain:
    """Of one group."""

    without_flags: Arm
    with_flags: Arm
    change_h: Estimate | NotEstimable
    """Of the mean; the same cases in both arms, so that chance is mostly cancelled."""


def simulate(scenario: Scenario) -> dict[Group, Gain]:
    """Groups that are in every run.  The first week counts only where it begins with a backlog."""
    return simulate_each(scenario, [scenario.accuracy] * scenario.runs)


def simulate_each(scenario: Scenario, accuracies: Sequence[Accuracy]) -> dict[Group, Gain]:
    """The same with a run for each of several accuracies, as they are drawn where the true one is
    not known: what that adds is in the intervals, too."""
    runs = [_run(replace(scenario, accuracy=one), n) for n, one in enumerate(accuracies)]
    return {
        group: _gain([run[group] for run in runs])
        for group in Group
        if all(group in run for run in runs)
    }


def _run(scenario: Scenario, number: int) -> dict[Group, Change]:
    rng = np.random.default_rng([scenario.seed, number])
    cases = draw_cases(scenario.demand, scenario.accuracy, scenario.cases_a_run, rng)
    without = waits_s(cases, scenario.staff, WITHOUT_FLAGS)
    with_flags = waits_s(cases, scenario.staff, scenario.order)
    backlog = scenario.demand.backlog
    settled = WEEK_S if not backlog and scenario.weeks > 1 else 0
    first = max(backlog, int(np.searchsorted(cases.arrival_s, settled)))
    return changes(cases, without, with_flags, counted=slice(first, None))


def _gain(found: list[Change]) -> Gain:
    without = [change.without_flags for change in found]
    with_flags = [change.with_flags for change in found]
    differences = [b.mean_s - a.mean_s for a, b in zip(without, with_flags, strict=True)]
    return Gain(_arm(without), _arm(with_flags), over_replicates([d / HOUR_S for d in differences]))


def _arm(waits: list[Waiting]) -> Arm:
    def hours(of: Callable[[Waiting], float]) -> Estimate | NotEstimable:
        return over_replicates([of(waiting) / HOUR_S for waiting in waits])

    return Arm(hours(lambda w: w.mean_s), hours(lambda w: w.p95_s))


def _mean_reading_s(demand: Demand) -> float:
    def seconds(reading: Reading | None) -> float:
        return 60 * (reading or demand.reading).mean_min

    ill = demand.prevalence
    ordinary = ill * seconds(demand.reading_condition) + (1 - ill) * seconds(None)
    return demand.urgent * seconds(demand.reading_urgent) + (1 - demand.urgent) * ordinary
