"""Where a slide's time goes."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Seconds by stage: laps for what runs once, waits for what streams."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """All time since the last lap went to ``stage``."""
        now = time.perf_counter()
        self._add(stage, now - self._last)
        self._last = now

    def waits(self, stage: str, stream: Iterable[T]) -> Iterator[T]:
        """Pass the stream on; what its consumer waits for it goes to ``stage``."""
        items = iter(stream)
        while True:
            start = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self._add(stage, time.perf_counter() - start)
            yield item

    def _add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
