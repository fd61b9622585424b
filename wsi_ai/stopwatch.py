"""Where a slide's time goes."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Laps for what runs once, waits for what streams.

    Times are seconds since ``epoch``, a value of ``time.perf_counter()``: slides that share it can
    be laid beside each other.  One thread at a time.
    """

    def __init__(self, epoch: float) -> None:
        self.spans: list[tuple[str, float, float]] = []
        """Stage, start and end."""
        self.waited: dict[str, float] = {}
        """Seconds that the consumer of a stream waited for it, by stream."""
        self._epoch = epoch
        self._last = self.now()

    def now(self) -> float:
        return time.perf_counter() - self._epoch

    def lap(self, stage: str) -> float:
        """All time since the last lap went to ``stage``; so many seconds."""
        start, self._last = self._last, self.now()
        self.spans.append((stage, start, self._last))
        return self._last - start

    def waits(self, stream: str, items: Iterable[T]) -> Iterator[T]:
        """Pass the items on, and add up how long each had to be waited for."""
        source = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                spent = time.perf_counter() - start
                self.waited[stream] = self.waited.get(stream, 0.0) + spent
            yield item
