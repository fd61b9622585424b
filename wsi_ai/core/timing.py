"""Where a slide's time goes."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")
Interval = tuple[float, float]
"""Start and end, seconds since the run began."""

_SEEN_S = 0.02
"""Waits shorter than this are added up, but not kept one by one."""
_MOST_SEEN = 500


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream between two stages: who waited for whom."""

    start_s: float
    """When its producer began."""
    end_s: float
    """When the last item was ready."""
    busy_s: float
    """How long the producer was at work; else it stood still: nobody took what was ready."""
    asked_s: float | None = None
    """When the consumer asked for the first item; ``None`` where it never did."""
    busy_before_s: float = 0.0
    """How long the producer was at work before that."""
    waited_s: float = 0.0
    """How long the consumer had nothing to do but wait for the next item."""
    waits: tuple[Interval, ...] = ()
    """The longer ones of the consumer's waits."""
    stands: tuple[Interval, ...] = ()
    """The longer ones of the times in which the producer stood still."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where one slide's time went, in seconds since the run began."""

    spans: tuple[tuple[str, float, float], ...]
    """Stage, start and end."""
    tiles: Flow | None
    """From reading to inference."""
    batch_s: float | None = None
    """The median time from one batch to the next."""


class Stopwatch:
    """Laps for what runs once, waits for what streams.

    Times are seconds since ``epoch``, a value of ``time.perf_counter()``: slides that share it can
    be laid beside each other.  One thread at a time.
    """

    def __init__(self, epoch: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.spans: list[tuple[str, float, float]] = []
        """Stage, start and end."""
        self._epoch, self._clock = epoch, clock
        self._last = self.now()
        self._began: float | None = None
        self._asked: float | None = None
        self._handed: list[float] = []
        self._waits, self._stands = _Sum(), _Sum()
        self._ready: float | None = None
        self._before = 0.0

    def now(self) -> float:
        return self._clock() - self._epoch

    def lap(self, stage: str) -> float:
        """All time since the last lap went to ``stage``; so many seconds."""
        start, self._last = self._last, self.now()
        self.spans.append((stage, start, self._last))
        return self._last - start

    def began(self) -> None:
        """The stream's producer is at work from now on."""
        self._began = self.now() if self._began is None else self._began

    def waits(self, items: Iterable[T]) -> Iterator[T]:
        """Pass the stream on, and note how long each item had to be waited for."""
        self.began()
        self._asked = self.now() if self._asked is None else self._asked
        source = iter(items)
        while True:
            start = self.now()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                end = self.now()
                self._waits.add(start, end)
                self._handed.append(end)
            yield item

    def made(self, span: Interval | None) -> None:
        """The stream's producer was at work on an item: from and to when, on
        ``time.perf_counter()``.  In the items' order; ``None`` where that is not known."""
        if span is None or self._began is None:
            return
        start, end = span[0] - self._epoch, span[1] - self._epoch
        last = self._began if self._ready is None else self._ready
        if start > last:
            self._stands.add(last, start)
        if self._asked is not None and end > last:
            self._before += max(0.0, min(end, self._asked) - max(start, last))
        self._ready = max(last, end)

    def timing(self) -> Timing:
        """What was noted so far."""
        return Timing(tuple(self.spans), self._flow(), _median_step(self._handed))

    def _flow(self) -> Flow | None:
        if self._began is None:
            return None
        handed = self._handed[-1] if self._handed else self._began
        end = handed if self._ready is None else self._ready
        return Flow(
            start_s=self._began,
            end_s=end,
            busy_s=end - self._began - self._stands.total,
            asked_s=self._asked,
            busy_before_s=self._before,
            waited_s=self._waits.total,
            waits=tuple(self._waits.longest),
            stands=tuple(self._stands.longest),
        )


class _Sum:
    """Adds intervals up, and keeps the first of those that can be seen in a picture."""

    def __init__(self) -> None:
        self.total = 0.0
        self.longest: list[Interval] = []

    def add(self, start: float, end: float) -> None:
        self.total += end - start
        if end - start > _SEEN_S and len(self.longest) < _MOST_SEEN:
            self.longest.append((start, end))


def _median_step(moments: list[float]) -> float | None:
    steps = sorted(b - a for a, b in pairwise(moments))
    return steps[len(steps) // 2] if steps else None
