"""When work is done.  A time is a whole number of seconds since a Monday, 0:00."""

import itertools
from dataclasses import dataclass

MINUTE_S, HOUR_S, DAY_S, WEEK_S = 60, 3_600, 86_400, 604_800


@dataclass(frozen=True, slots=True)
class Hours:
    """Spans of a week in which readers begin cases; what is begun is read to its end."""

    spans: tuple[tuple[int, int], ...]
    """Seconds of a week, in order."""

    def __post_init__(self) -> None:
        edges = list(itertools.chain.from_iterable(self.spans))
        rising = all(a < b for a, b in self.spans) and edges == sorted(edges)
        if not self.spans or not rising or edges[0] < 0 or edges[-1] > WEEK_S:
            raise ValueError("hours are spans of one week, in order, that do not overlap")

    @property
    def open_s(self) -> int:
        """Of a week."""
        return sum(end - begin for begin, end in self.spans)

    def next_open(self, now_s: int) -> int:
        """``now_s`` itself where it lies in a span."""
        weeks, rest = divmod(now_s, WEEK_S)
        for begin, end in self.spans:
            if rest < end:
                return weeks * WEEK_S + max(rest, begin)
        return (weeks + 1) * WEEK_S + self.spans[0][0]


ALWAYS = Hours(((0, WEEK_S),))


def weekdays(from_hour: int, to_hour: int) -> Hours:
    """Monday to Friday."""
    days = (day * DAY_S for day in range(5))
    return Hours(tuple((day + from_hour * HOUR_S, day + to_hour * HOUR_S) for day in days))
