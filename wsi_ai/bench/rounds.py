"""Timing on a machine that others use, too."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

QUIET = 0.08
"""Processors that others may keep busy during a measurement."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One measurement, in seconds."""

    wall: float
    cpu: float
    """Of this process and of those that it started and that have ended."""
    foreign: float
    """Processors that others kept busy, on average."""


@dataclass(slots=True)
class Ratios:
    """One reader's rounds, each with the mean of the limit's just before and after."""

    own: list[Timed] = field(default_factory=list)
    limit: list[Timed] = field(default_factory=list)
    loaded: int = 0
    """Rounds during which others kept the machine busy."""

    def add(self, before: Timed, own: Timed, after: Timed) -> None:
        self.own.append(own)
        self.limit.append(
            Timed((before.wall + after.wall) / 2, (before.cpu + after.cpu) / 2, before.foreign)
        )

    @property
    def of_limit(self) -> float:
        return self._median(lambda timed: timed.wall)

    @property
    def of_limit_cpu(self) -> float:
        """The same in processor time, which others' load distorts less."""
        return self._median(lambda timed: timed.cpu)

    @property
    def spread_cpu(self) -> tuple[float, float]:
        """The least and the most of the rounds, in processor time."""
        shares = self._shares(lambda timed: timed.cpu)
        return min(shares), max(shares)

    def _median(self, of: Callable[[Timed], float]) -> float:
        return statistics.median(self._shares(of))

    def _shares(self, of: Callable[[Timed], float]) -> list[float]:
        pairs = zip(self.limit, self.own, strict=True)
        return [of(limit) / of(own) for limit, own in pairs]


def alternate(
    limit: Callable[[], object],
    readers: Mapping[str, Callable[[], object]],
    rounds: int,
    tries: int,
    before_each: Callable[[], object] = lambda: None,
) -> dict[str, Ratios]:
    """Time each reader ``rounds`` times between two runs of the limit; ``before_each`` of these
    runs, untimed.

    Where fewer rounds than wanted were quiet after ``tries``, the loaded ones fill up.
    """
    found = {name: Ratios() for name in readers}
    spare: dict[str, list[tuple[Timed, Timed, Timed]]] = {name: [] for name in readers}

    def timed(work: Callable[[], object]) -> Timed:
        before_each()
        return time_once(work)

    limit()
    for _ in range(tries):
        todo = [name for name in readers if len(found[name].own) < rounds]
        before = timed(limit) if todo else None
        for name in todo:
            own, after = timed(readers[name]), timed(limit)
            if before and max(t.foreign for t in (before, own, after)) < QUIET:
                found[name].add(before, own, after)
            elif before:
                spare[name].append((before, own, after))
            before = after
    for name, ratios in found.items():
        ratios.loaded = len(spare[name])
        for measured in spare[name][: rounds - len(ratios.own)]:
            ratios.add(*measured)
    return found


def time_once(work: Callable[[], object]) -> Timed:
    """``work`` is called once."""
    busy, own, start = _busy_s(), _own_s(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - start, _own_s() - own
    return Timed(wall, cpu, max(0.0, _busy_s() - busy - cpu) / wall)


def _busy_s() -> float:
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
