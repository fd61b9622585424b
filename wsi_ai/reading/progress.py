"""How far the batches have come: between the threads that fill them and the one that takes them."""

import threading
import time
from collections.abc import Callable


class Stopped(Exception):
    """Whoever waited need not wait any longer: the walk is over."""


class Progress:
    """Batches 0, 1, … pass through ``depth`` buffers, used in turn."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._taken = 0
        self._left: dict[int, int] = {}
        self._began: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        self._stopped = False
        self._changed = threading.Condition()

    def wait_for_room(self, batch: int) -> None:
        """Until nobody uses the buffer of ``batch`` any more.  Raises Stopped."""
        self._wait(lambda: batch < self._taken + self._depth)

    def begin(self, batch: int, tiles: int) -> None:
        """``batch`` is complete after so many tiles."""
        with self._changed:
            self._left[batch] = tiles
            self._began[batch] = self._ended[batch] = time.perf_counter()
            self._changed.notify_all()

    def done(self, batch: int, tiles: int) -> None:
        with self._changed:
            self._left[batch] -= tiles
            if not self._left[batch]:
                self._ended[batch] = time.perf_counter()
                self._changed.notify_all()

    def take(self, batch: int) -> None:
        """Give back what came before ``batch``, and wait until it is complete.  Raises Stopped."""
        with self._changed:
            self._taken = batch
            self._changed.notify_all()
        self._wait(lambda: self._left.get(batch) == 0)
        del self._left[batch]

    def span(self, batch: int) -> tuple[float, float]:
        """From when to when the batch that was taken last had jobs under way; asked once."""
        return self._began.pop(batch), self._ended.pop(batch)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or ready())
            if self._stopped:
                raise Stopped
