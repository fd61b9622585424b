"""Mean waits that are known exactly: Poisson arrivals, exponential reading times, always open.

Erlang 1917; Cobham 1954 (Oper Res 2: 70).  Any unit of time, the same throughout.
"""

from collections.abc import Sequence


def chance_to_wait(readers: int, load: float) -> float:
    """Erlang's C; the load is the number of readers that would be busy without pause."""
    if not 0 < load < readers:
        raise ValueError(f"{readers} readers never keep up with a load of {load}")
    blocked = 1.0
    for k in range(1, readers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked / (1 - load / readers * (1 - blocked))


def mean_wait(readers: int, arrivals: float, reading: float) -> float:
    """Without classes; arrivals per unit of time, and the mean reading time."""
    load = arrivals * reading
    return chance_to_wait(readers, load) * reading / (readers - load)


def mean_waits_if_interrupted(
    readers: int, first: float, rest: float, reading: float
) -> tuple[float, float]:
    """Two classes with one mean reading time: the first sees itself only, and the sum is kept."""
    high, both = mean_wait(readers, first, reading), mean_wait(readers, first + rest, reading)
    return high, ((first + rest) * both - first * high) / rest


def mean_waits(readers: int, arrivals: Sequence[float], reading: float) -> tuple[float, ...]:
    """Classes in order, one mean reading time, none interrupted."""
    base = chance_to_wait(readers, sum(arrivals) * reading) * reading / readers
    before, found = 0.0, []
    for each in arrivals:
        after = before + each * reading / readers
        found.append(base / ((1 - before) * (1 - after)))
        before = after
    return tuple(found)
