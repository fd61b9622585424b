"""All roles of a service on one machine: each a process of its own, started again where it ends."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from wsi_ai.core.environment import with_variable
from wsi_ai.core.parent import PARENT_PIPE, while_we_live
from wsi_ai.errors import WsiAiError

log = logging.getLogger(__name__)

_USAGE = 2
_LONGEST_WAIT_S = 60.0
_LASTING_S = 60.0
"""One that lived that long is started again at once."""
_LOOK_EVERY_S = 0.2
TO_STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    arguments: tuple[str, ...]
    """Of ``wsi-ai``."""


@dataclass(slots=True)
class _Place:
    role: Role
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    failures: int = 0
    again_at: float = 0.0


class Unusable(WsiAiError):
    """A role refused its own command line: to start it again would change nothing."""

    def __init__(self, role: str) -> None:
        super().__init__(f"{role} cannot be started: see what it said")


@dataclass(slots=True)
class Supervisor:
    """Ends them all before it ends; where it is killed, they end by themselves."""

    roles: Sequence[Role]
    command: tuple[str, ...] = (sys.executable, "-m", "wsi_ai")
    clock: Callable[[], float] = time.monotonic
    _places: list[_Place] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``.  Raises Unusable where a role says at its start that it never can."""
        with while_we_live() as descriptor:
            self._places = [_Place(role) for role in self.roles]
            try:
                while not stop.is_set():
                    for place in self._places:
                        self._look_after(place, descriptor)
                    stop.wait(_LOOK_EVERY_S)
            finally:
                self._end()

    def _look_after(self, place: _Place, descriptor: int) -> None:
        now = self.clock()
        if place.process is None:
            if now >= place.again_at:
                place.process = self._start(place.role, descriptor)
                place.started = now
            return
        status = place.process.poll()
        if status is None:
            return
        place.process = None
        if status == _USAGE and not place.failures:
            raise Unusable(place.role.name)
        place.failures = 1 if now - place.started > _LASTING_S else place.failures + 1
        wait_s = min(_LONGEST_WAIT_S, 2.0 ** (place.failures - 1))
        place.again_at = now + wait_s
        log.error(
            "%s ended (exit status %d); started again in %.0f s", place.role.name, status, wait_s
        )

    def _start(self, role: Role, descriptor: int) -> "subprocess.Popen[bytes]":
        log.info("%s starts", role.name)
        return subprocess.Popen(
            [*self.command, *role.arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            env=with_variable(PARENT_PIPE, str(descriptor)),
            start_new_session=True,  # Ctrl-C is for us: we end them in order
        )

    def _end(self) -> None:
        running = [p for p in self._places if p.process is not None and p.process.poll() is None]
        for place in running:
            if place.process is not None:
                place.process.terminate()
        until = self.clock() + TO_STOP_S
        for place in running:
            if place.process is None:
                continue
            with suppress(subprocess.TimeoutExpired):
                place.process.wait(max(0.0, until - self.clock()))
            if place.process.poll() is None:
                log.error("%s did not end within %.0f s and is killed", place.role.name, TO_STOP_S)
                place.process.kill()
                place.process.wait()
