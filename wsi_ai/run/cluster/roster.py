"""Which workers of a cluster a run gives slides to: they come and go while it lasts."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wsi_ai.core.contracts import Watcher
from wsi_ai.errors import DeviceError, WsiAiError
from wsi_ai.run.cluster.messages import FromWorker
from wsi_ai.run.cluster.settings import complaint_of
from wsi_ai.run.fleet import messages
from wsi_ai.run.fleet.fleet import show

LOOK_S = 2.0
"""Between two looks at who is there."""
NO_WORKER_S = 600.0


@dataclass(eq=False, slots=True)
class Member:
    """A worker that gets slides."""

    slot: int
    address: str
    name: str
    watch: Watcher
    passed: int | None = None
    """What its watch was last told."""
    is_open: bool = True
    """False where it is about to close, or takes nothing for now."""


@dataclass(slots=True)
class Roster:
    """Knows no network: it is told who is there."""

    watch: Watcher
    patience_s: float = NO_WORKER_S
    """So long a worker is waited for."""
    _members: dict[str, Member] = field(default_factory=dict)
    _unfit: dict[str, WsiAiError] = field(default_factory=dict)
    """Those that get no slide, and why."""
    _leaving: set[str] = field(default_factory=set)
    """Those that end, and may come back under the same address."""
    _watches: dict[str, Watcher] = field(default_factory=dict)
    _slots: int = 0
    _looked: float | None = None
    _nobody_since: float | None = None

    @property
    def slots(self) -> set[int]:
        return {member.slot for member in self._members.values()}

    def members(self) -> list[Member]:
        """Those that take slides."""
        return [member for member in self._members.values() if member.is_open]

    def is_due(self) -> bool:
        """Whether it is time to look."""
        return self._looked is None or time.monotonic() - self._looked >= LOOK_S

    def look(self, there: Mapping[str, Mapping[str, Any]]) -> list[Member]:
        """Takes in who is new, and returns who is not there any more.

        Raises what the workers are unfit for where all are, DeviceError where none comes, and
        whatever a watch raises that wants to stop.
        """
        self._looked = time.monotonic()
        lost = [member for address, member in self._members.items() if address not in there]
        for address in {*self._members, *self._unfit, *self._leaving} - set(there):
            self.gone(address)
        for address, worker in there.items():
            self._take_in(address, worker)
        for address, member in self._members.items():
            member.is_open = there[address].get("status", "running") == "running"
            if member.passed is not None:
                member.watch.passed(member.passed)
        self._refuse_to_wait(self._looked)
        return lost

    def gone(self, address: str) -> Member | None:
        """It ended."""
        self._unfit.pop(address, None)
        self._leaving.discard(address)
        return self._members.pop(address, None)

    def leave(self, member: Member) -> None:
        """It is about to end, or has ended and is not known to have."""
        self._members.pop(member.address, None)
        self._leaving.add(member.address)

    def refuse(self, member: Member, error: WsiAiError) -> None:
        """Its runtime does not open."""
        self._members.pop(member.address, None)
        self._unfit[member.address] = error

    def show(self, message: FromWorker) -> None:
        """How far a worker's slide has come."""
        if (member := self._members.get(message.worker)) is None:
            return
        match message.news:
            case messages.Planned(_, done) | messages.Passed(done):
                member.passed = done
        show(message.news, member.watch)

    def _take_in(self, address: str, worker: Mapping[str, Any]) -> None:
        if address in self._members or address in self._unfit or address in self._leaving:
            return
        if complaint := complaint_of(address, worker):
            self._unfit[address] = DeviceError(complaint)
            return
        name = f"worker {worker['name']}"
        if name not in self._watches:
            self._watches[name] = self.watch.beside() if self._watches else self.watch
        self._members[address] = Member(self._slots, address, name, self._watches[name])
        self._slots += 1

    def _refuse_to_wait(self, now: float) -> None:
        if self._members:
            self._nobody_since = None
            return
        if self._unfit and not self._leaving:
            raise next(iter(self._unfit.values()))
        if self._nobody_since is None:
            self._nobody_since = now
        if now - self._nobody_since > self.patience_s:
            raise DeviceError(
                f"the cluster has had no worker for {self.patience_s / 60:.0f} minutes; what is"
                " done is kept, and the same command goes on from there"
            )
