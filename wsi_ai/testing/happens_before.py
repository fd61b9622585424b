"""Vector clocks: which accesses of a buffer are ordered by nothing?

They look at the calls, not at the execution.  The host is one thread and never asks whether an
event has come, so the sequence of calls alone decides: one run reports every race, whatever the
schedule.
"""

import sys
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Clock = dict[int, int]
"""Actor → how far its accesses are known to have gone."""
HOST, DEFAULT = 0, -1
"""Actors; ``DEFAULT`` is the stream in which allocators assume that memory is used."""
_INNER = ("/simulated_device.py", "/happens_before.py", "/contextlib.py")


@dataclass(frozen=True, slots=True)
class Access:
    actor: int
    time: int
    what: str


@dataclass(eq=False, slots=True)
class SimBuffer:
    """Memory on the simulated device, or pinned."""

    name: str
    data: NDArray[Any]
    pinned: bool
    freed: bool = False
    last_write: Access | None = None
    reads: dict[int, Access] = field(default_factory=dict)
    """Since the last write, one for each actor."""
    rows: "list[SimBuffer]" = field(default_factory=list)
    """Used each by itself, where it was taken apart."""


class HappensBefore:
    """Reports each pair of accesses, one of them a write, that nothing orders."""

    def __init__(self) -> None:
        self.host: Clock = {}
        self.races: list[str] = []

    def reads(self, buffer: SimBuffer, actor: int, clock: Clock, kind: str) -> None:
        now = self._access(buffer, actor, clock, kind)
        if buffer.last_write is None:
            self._report(buffer, now, "before anything was written to it")
        else:
            self._ordered(buffer, clock, now, buffer.last_write)
        buffer.reads[actor] = now

    def writes(self, buffer: SimBuffer, actor: int, clock: Clock, kind: str) -> None:
        now = self._access(buffer, actor, clock, kind)
        for other in (*filter(None, [buffer.last_write]), *buffer.reads.values()):
            self._ordered(buffer, clock, now, other)
        buffer.last_write, buffer.reads = now, {}

    def _access(self, buffer: SimBuffer, actor: int, clock: Clock, kind: str) -> Access:
        clock[actor] = clock.get(actor, 0) + 1
        now = Access(actor, clock[actor], f"{kind} at {_caller()}")
        if buffer.freed:
            self._report(buffer, now, "after it was freed")
        return now

    def _ordered(self, buffer: SimBuffer, clock: Clock, now: Access, other: Access) -> None:
        if clock.get(other.actor, 0) < other.time:
            self._report(buffer, now, f"is not ordered after {other.what}")

    def _report(self, buffer: SimBuffer, now: Access, wrong: str) -> None:
        self.races.append(f"{buffer.name}: {now.what} {wrong}")


def join(into: Clock, other: Clock) -> None:
    """From now on ``into`` knows all that ``other`` knows."""
    for actor, when in other.items():
        into[actor] = max(into.get(actor, 0), when)


def _caller() -> str:
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.endswith(_INNER):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
