"""How far a job has come, and whether it may go on."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.errors import Stopped

MOST_PREEMPTED = 3
"""A slide that made room for urgent ones this often is left in peace."""
_NEARLY_DONE_S = 20.0


@dataclass(slots=True)
class JobWatch:
    """See ``contracts.Watcher``: of one job, which may be stopped or lost, or makes room."""

    stop: threading.Event
    lost: bool = False
    room: bool = False
    """An urgent slide is to go first."""
    fault: str | None = None
    """The device failed under it, for this reason."""
    tiles: int | None = None
    done: int | None = None
    infers: bool = False
    """It is past being prepared."""
    _began: tuple[float, int] = (0.0, 0)

    def started(self, slide: Path) -> None: ...

    def planned(self, tiles: int, done: int) -> None:
        self.tiles, self.done, self.infers = tiles, done, True
        self._began = time.monotonic(), done

    def passed(self, done: int) -> None:
        self.done = done
        self.go_on()

    def beside(self) -> "JobWatch":
        return self

    def go_on(self) -> None:
        """Raises Stopped where it is not to be gone on with."""
        if self.lost or self.room or self.stop.is_set():
            raise Stopped("the job was stopped")

    def write(self) -> None:
        """Raises Stopped where it is another worker's."""
        if self.lost:
            raise Stopped("the job is another worker's by now")

    def may_make_room(self, preempted: int) -> bool:
        """One that is only prepared always may; one that infers not where it is nearly done, or had
        to often."""
        if not self.infers:
            return True
        return preempted < MOST_PREEMPTED and self.seconds_left() > _NEARLY_DONE_S

    def seconds_left(self) -> float:
        """At the pace that it had; infinite while that is not known."""
        began, before = self._began
        passed = (self.done or 0) - before
        if self.tiles is None or (passed <= 0 and self.tiles > before):
            return float("inf")
        left = self.tiles - (self.done or 0)
        return left * (time.monotonic() - began) / passed if left else 0.0
