"""When the simulated device runs what was queued on it.

``SteppedScheduler`` runs its steps inside the host's calls, in an order drawn from a seed: the
same seed, the same run.  ``ThreadScheduler`` has a worker for each stream.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wsi_ai.errors import WsiAiError

FAILURES = (
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    WsiAiError,
)
_DEADLOCK_S = 10.0


@dataclass(eq=False, slots=True)
class Op:
    """Work in a stream, in two steps; ``after`` holds what must have ended before it may begin."""

    begin: Callable[[], None]
    end: Callable[[], None]
    after: "list[Op]"
    begun: bool = False
    done: bool = False
    error: Exception | None = None

    def ready(self) -> bool:
        return all(op.done for op in self.after)

    def step(self) -> bool:
        """Begin, or end; true once it has ended.  It fails with the error of what it waited for."""
        self.error = self.error or next((op.error for op in self.after if op.error), None)
        try:
            if self.error is None:
                (self.end if self.begun else self.begin)()
        except FAILURES as error:
            self.error = error
        ended, self.begun = self.begun or self.error is not None, True
        return ended

    def finish(self) -> None:
        self.done = True
        self.after = []  # else every op would keep all earlier ones alive


class Scheduler(Protocol):
    """A stream is identified by its name."""

    def open(self, stream: str) -> None: ...
    def submit(self, stream: str, op: Op) -> None: ...
    def tick(self) -> None: ...
    def wait(self, ops: Sequence[Op]) -> None: ...
    def close(self, stream: str) -> None: ...


class SteppedScheduler:
    """The seed decides how lazy the device is, which stream goes first and which one starves; all
    but the laziness are drawn again from time to time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._laziness = self._random.choice((0.0, 0.3, 0.7, 1.0))
        self._queues: dict[str, deque[Op]] = {}
        self._rank: dict[str, float] = {}
        self._starved: str | None = None

    def open(self, stream: str) -> None:
        self._queues[stream] = deque()
        self._redraw()

    def submit(self, stream: str, op: Op) -> None:
        self._queues[stream].append(op)

    def tick(self) -> None:
        if self._random.random() < 0.1:
            self._redraw()
        while self._random.random() >= self._laziness and self._step(self._starved):
            pass

    def wait(self, ops: Sequence[Op]) -> None:
        while not all(op.done for op in ops):
            if not (self._step(self._starved) or self._step(None)):
                raise RuntimeError("deadlock: nothing on the device can run")

    def close(self, stream: str) -> None:
        del self._queues[stream], self._rank[stream]

    def _redraw(self) -> None:
        self._rank = {stream: self._random.random() for stream in self._queues}
        self._starved = self._random.choice([None, *self._queues])

    def _step(self, starved: str | None) -> bool:
        can = [s for s, q in self._queues.items() if q and s != starved and q[0].ready()]
        if not can:
            return False
        queue = self._queues[max(can, key=self._rank.__getitem__)]
        if queue[0].step():
            queue.popleft().finish()
        return True


class ThreadScheduler:
    """A worker for each stream, which delays before and inside each op."""

    def __init__(self, seed: int, delay_s: float = 0.001) -> None:
        self._seed, self._delay_s = seed, delay_s
        self._changed = threading.Condition()
        self._queues: dict[str, deque[Op]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closed: set[str] = set()

    def open(self, stream: str) -> None:
        self._queues[stream] = deque()
        self._closed.discard(stream)
        rng = random.Random(f"{self._seed}/{stream}")
        thread = threading.Thread(
            target=self._work, args=(stream, rng), name=f"sim-{stream}", daemon=True
        )
        self._threads[stream] = thread
        thread.start()

    def submit(self, stream: str, op: Op) -> None:
        with self._changed:
            self._queues[stream].append(op)
            self._changed.notify_all()

    def tick(self) -> None: ...

    def wait(self, ops: Sequence[Op]) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: all(op.done for op in ops), _DEADLOCK_S):
                raise RuntimeError(f"deadlock: the device did not finish in {_DEADLOCK_S} s")

    def close(self, stream: str) -> None:
        with self._changed:
            self._closed.add(stream)
            self._changed.notify_all()
        self._threads.pop(stream).join()

    def _work(self, stream: str, rng: random.Random) -> None:
        queue, slow = self._queues[stream], rng.choice((0.1, 1.0))
        while True:
            with self._changed:
                self._changed.wait_for(lambda: queue or stream in self._closed)
                if not queue:
                    return
                op = queue[0]
                self._changed.wait_for(op.ready)
            ended = False
            while not ended:
                time.sleep(rng.random() * slow * self._delay_s)
                ended = op.step()
            with self._changed:
                queue.popleft().finish()
                self._changed.notify_all()
