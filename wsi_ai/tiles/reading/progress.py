"""How far the batches have come, for the threads that fill them and the one that takes them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WalkEnded(Exception):
    """The walk is over: no waiting thread needs to wait any longer."""


class Progress:
    """Batches 0, 1, … pass through ``depth`` buffers, used in turn."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._taken = 0
        self._left: dict[int, int] = {}
        self._working = 0
        self._since = self._busy_s = self._told_s = 0.0
        self._stopped = False
        self._changed = threading.Condition()

    def wait_for_room(self, batch: int) -> None:
        """Wait until nobody uses the buffer of ``batch`` any more.  Raises WalkEnded."""
        self._wait(lambda: batch < self._taken + self._depth)

    def begin(self, batch: int, tiles: int) -> None:
        """``batch`` is complete after this number of tiles."""
        with self._changed:
            self._left[batch] = tiles
            self._changed.notify_all()

    def done(self, batch: int, tiles: int) -> None:
        with self._changed:
            self._left[batch] -= tiles
            if not self._left[batch]:
                self._changed.notify_all()

    def take(self, batch: int) -> None:
        """Give back all before ``batch``, and wait until it is complete.  Raises WalkEnded."""
        with self._changed:
            self._taken = batch
            self._changed.notify_all()
        self._wait(lambda: self._left.get(batch) == 0)
        del self._left[batch]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A job is under way."""
        with self._changed:
            self._working += 1
            if self._working == 1:
                self._since = time.perf_counter()
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                if not self._working:
                    self._busy_s += time.perf_counter() - self._since

    def span(self) -> tuple[float, float]:
        """How long any job has been under way since the last call.  Batches are filled several at a
        time, so that none has a time of its own."""
        with self._changed:
            now = time.perf_counter()
            busy = self._busy_s + (now - self._since if self._working else 0.0)
            spent, self._told_s = busy - self._told_s, busy
        return now - spent, now

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or ready())
            if self._stopped:
                raise WalkEnded
