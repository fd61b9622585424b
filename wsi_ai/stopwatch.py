"""Where a slide's time goes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    """When the first item was begun."""
    end_s: float
    """When the last one was handed over."""
    waited_s: float = 0.0
    """How long its consumer had nothing to do but wait for it."""
    stood_s: float = 0.0
    """How long its producer stood still, because nobody took what was ready."""
    waits: tuple[Interval, ...] = ()
    """The longer ones of the consumer's waits."""
    stands: tuple[Interval, ...] = ()
    """The longer ones of the producer's."""


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

    def __init__(self, epoch: float) -> None:
        self.spans: list[tuple[str, float, float]] = []
        """Stage, start and end."""
        self._epoch = epoch
        self._last = self.now()
        self._flow: list[float] = []
        self._waits, self._stands = _Sum(), _Sum()

    @property
    def waited_s(self) -> float:
        """How long the consumer of the stream waited for it."""
        return self._waits.total

    def now(self) -> float:
        return time.perf_counter() - self._epoch

    def lap(self, stage: str) -> float:
        """All time since the last lap went to ``stage``; so many seconds."""
        start, self._last = self._last, self.now()
        self.spans.append((stage, start, self._last))
        return self._last - start

    def began(self) -> None:
        """The stream's producer is at work from now on."""
        self._flow = self._flow or [self.now()]

    def waits(self, items: Iterable[T]) -> Iterator[T]:
        """Pass the stream on, and note how long each item had to be waited for."""
        self.began()
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
                self._flow.append(end)
            yield item

    def stood(self, interval: Interval | None) -> None:
        """The stream's producer stood still: from and to when, on ``time.perf_counter()``."""
        if interval is not None:
            self._stands.add(interval[0] - self._epoch, interval[1] - self._epoch)

    def timing(self) -> Timing:
        """What was noted so far."""
        flow = self._flow and Flow(
            self._flow[0],
            self._flow[-1],
            self._waits.total,
            self._stands.total,
            tuple(self._waits.longest),
            tuple(self._stands.longest),
        )
        return Timing(tuple(self.spans), flow or None, _median_step(self._flow[1:]))


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
    steps = sorted(b - a for a, b in zip(moments, moments[1:], strict=False))
    return steps[len(steps) // 2] if steps else None
