"""How long a slide spends in each stage."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")
DAY_S = 86_400.0
Interval = tuple[float, float]
"""Start and end, seconds since the run began."""

_SEEN_S = 0.02
"""Waits shorter than this are added up, but not kept one by one."""
_MOST_SEEN = 500


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream between two stages, and which of them waited for the other."""

    start_s: float
    """When its producer started."""
    end_s: float
    """When the last item was ready."""
    busy_s: float
    """How long the producer was working; the rest of the time nobody took what was ready."""
    asked_s: float | None = None
    """When the consumer asked for the first item; ``None`` where it never did."""
    busy_before_s: float = 0.0
    """How long the producer was working before that."""
    waited_s: float = 0.0
    """How long the consumer could only wait for the next item."""
    waits: tuple[Interval, ...] = ()
    """The consumer's longer waits."""
    stands: tuple[Interval, ...] = ()
    """The producer's longer idle times."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one slide, in seconds since the run began."""

    spans: tuple[tuple[str, float, float], ...]
    """Stage, start and end."""
    tiles: Flow | None
    """From reading to inference."""
    batch_s: float | None = None
    """The median time from one batch to the next."""


class Stopwatch:
    """Laps for what runs once, waits for what streams.  One thread at a time.

    Times are seconds since ``epoch``, a value of ``time.perf_counter()``: slides that share it can
    be compared.
    """

    def __init__(self, epoch: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.spans: list[tuple[str, float, float]] = []
        """Stage, start and end."""
        self.decoded_by: str | None = None
        """Where the stream's tiles were decoded and why there, where there was a choice."""
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
        """Book all time since the last lap under ``stage``; returns the number of seconds."""
        start, self._last = self._last, self.now()
        self.spans.append((stage, start, self._last))
        return self._last - start

    def began(self) -> None:
        """The stream's producer starts to work now."""
        self._began = self.now() if self._began is None else self._began

    def waits(self, items: Iterable[T]) -> Iterator[T]:
        """Pass the stream on, and note the wait for each item."""
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
        """The stream's producer worked on an item from and to these times of
        ``time.perf_counter()``.

        In the items' order; ``None`` where that is not known.
        """
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
        """All that has been noted up to now."""
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
    """Adds up intervals, and keeps the first of those that are long enough to be seen in a
    picture."""

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


class Stage(StrEnum):
    LOOKING = "looking"
    READING = "reading"
    INFERENCE = "inference"
    WRITING = "writing"


STAGE_OF: Mapping[str, Stage] = {
    **dict.fromkeys(("opening", "thumbnail", "tissue", "quality", "plan"), Stage.LOOKING),
    "inference": Stage.INFERENCE,
    "writing": Stage.WRITING,
}
"""Names of spans that count as work; the others are waits and changes of device."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How busy one device, or one slide's inference, was."""

    wall_s: float
    busy_s: Mapping[Stage, float]

    @property
    def limit(self) -> Stage:
        return max(self.busy_s, key=lambda stage: self.busy_s[stage])

    @property
    def share(self) -> float:
        """Share of the wall time in which the limiting stage was busy; 0 where nothing ran."""
        return min(1.0, self.busy_s[self.limit] / self.wall_s) if self.wall_s > 0 else 0.0


def of_run(timings: Sequence[Timing]) -> Efficiency:
    """From the first slide's opening to the last one's end, on one device."""
    busy = dict.fromkeys(Stage, 0.0)
    for timing in timings:
        for stage, seconds in busy_s(timing).items():
            busy[stage] += seconds
    return Efficiency(_wall_s(timings), busy)


def of_slide(timing: Timing) -> Efficiency | None:
    """Of reading and inference, while the slide was inferred; ``None`` where it was not."""
    flow, inferred = timing.tiles, _spans_s(timing, Stage.INFERENCE)
    if flow is None or flow.asked_s is None or inferred <= 0:
        return None
    reading = max(0.0, flow.busy_s - flow.busy_before_s)
    return Efficiency(inferred, {Stage.READING: reading, Stage.INFERENCE: inferred - flow.waited_s})


def busy_s(timing: Timing) -> dict[Stage, float]:
    """How long each stage was busy with one slide."""
    flow = timing.tiles
    busy = {stage: _spans_s(timing, stage) for stage in Stage}
    if flow is not None:
        busy[Stage.READING] = flow.busy_s
        busy[Stage.INFERENCE] = max(0.0, busy[Stage.INFERENCE] - flow.waited_s)
    return busy


def _spans_s(timing: Timing, stage: Stage) -> float:
    return sum(end - start for name, start, end in timing.spans if STAGE_OF.get(name) is stage)


def _wall_s(timings: Iterable[Timing]) -> float:
    moments = [moment for t in timings for _, start, end in t.spans for moment in (start, end)]
    return max(moments) - min(moments) if moments else 0.0


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, whatever the moment's own zone."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_of(seconds: float) -> str:
    """The same of seconds since 1970."""
    return timestamp(datetime.fromtimestamp(seconds, UTC))


def timestamp_if(seconds: float | None) -> str | None:
    """The same where there is such a time."""
    return None if seconds is None else timestamp_of(seconds)
