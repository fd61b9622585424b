"""Timing on a machine that others use, too."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_FOREIGN = 0.08
"""Processors that others may keep busy during a measurement."""


@dataclass
class Ratios:
    """One reader's rounds: seconds, and the limit's seconds around each."""

    seconds: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    loaded: int = 0
    """Rounds that were dropped because of foreign load."""

    @property
    def of_limit(self) -> float:
        pairs = zip(self.limit, self.seconds, strict=True)
        return statistics.median(limit / own for limit, own in pairs)


def alternate(
    limit: Callable[[], object],
    readers: Mapping[str, Callable[[], object]],
    rounds: int,
    tries: int,
) -> dict[str, Ratios]:
    """Time each reader ``rounds`` times between two runs of the limit.

    Where fewer rounds than wanted were quiet after ``tries``, the loaded ones fill up.
    """
    found = {name: Ratios() for name in readers}
    spare: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    limit()
    for _ in range(tries):
        todo = [name for name in readers if len(found[name].seconds) < rounds]
        before = _timed(limit) if todo else (0.0, 0.0)
        for name in todo:
            own, after = _timed(readers[name]), _timed(limit)
            pair = own[0], (before[0] + after[0]) / 2
            if max(own[1], before[1], after[1]) < _FOREIGN:
                found[name].seconds.append(pair[0])
                found[name].limit.append(pair[1])
            else:
                found[name].loaded += 1
                spare[name].append(pair)
            before = after
    for name, ratios in found.items():
        for own_s, limit_s in spare[name][: rounds - len(ratios.seconds)]:
            ratios.seconds.append(own_s)
            ratios.limit.append(limit_s)
    return found


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and how many processors were busy with something else."""
    busy, own, start = _busy_s(), _own_s(), time.perf_counter()
    work()
    wall = time.perf_counter() - start
    return wall, max(0.0, (_busy_s() - busy) - (_own_s() - own)) / wall


def _busy_s() -> float:
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
