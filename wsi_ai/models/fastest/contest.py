"""Devices in turn: each has a process of its own, and runs alone while it is timed."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe
from statistics import median
from types import TracebackType
from typing import Self

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.memory import available
from wsi_ai.models.fastest import contender
from wsi_ai.models.fastest.choice import NotMeasured, Rate
from wsi_ai.models.fastest.messages import Answer, Ready, Refused, Took, Turn

READY_S, BATCH_S = 300.0, 120.0
"""How long a device may take to open and to score the golden tiles; and for one batch."""
_ENOUGH_S, _TURN_S, _TURNS, _QUIET = 1.0, 0.15, 3, 0.7
"""Seconds of each that are enough, of a turn at least, and turns that are.  Of a batch that needs
more than what is enough there is one turn, if its threads ran this share of the time: more, where
other work does."""
_REST_S = 0.05
"""After which no library's threads still wait in a loop."""
_COPIES, _BESIDES = 3, 1 << 29
"""How often a device may hold the weights while it opens, and what it needs besides, in bytes."""


def contest(
    card: ModelCard, request: RuntimeRequest, devices: Sequence[str], memory: int | None = None
) -> tuple[Rate, ...]:
    """A rate of each: the median of its turns, less the time that other work took from them.

    All are open at once where ``memory`` is enough for that, in bytes, and take turns; else one
    after another.  Raises NotMeasured, and OSError where no process can be started.
    """
    free = available() if memory is None else memory
    one = _COPIES * card.weights.stat().st_size + _BESIDES
    if free < one:
        raise NotMeasured(f"{free >> 20} MiB of free memory are not enough to try a device")
    groups = [devices] if free >= len(devices) * one else [[device] for device in devices]
    return tuple(rate for group in groups for rate in _rates(card, request, group))


def _rates(card: ModelCard, request: RuntimeRequest, devices: Sequence[str]) -> list[Rate]:
    with ExitStack() as held:
        those = [Contender(replace(request, device=device)) for device in devices]
        for one in those:
            held.enter_context(one)
            one.open(card)
        going = [one for one in those if one.wait()]
        while going:
            for one in going:
                time.sleep(_REST_S)
                one.turn()
            going = [one for one in reversed(going) if one.goes_on]
        return [one.rate for one in those]


@dataclass(slots=True)
class Contender:
    """One device, in a process that is there while this is entered."""

    request: RuntimeRequest
    runtime: str = ""
    reason: str = ""
    turns: list[Took] = field(default_factory=list)
    way: Connection | None = None
    process: "subprocess.Popen[bytes] | None" = None

    def __enter__(self) -> Self:
        self.way, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", contender.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.way is not None:
            self.way.close()

    def open(self, card: ModelCard) -> None:
        """Begin to; ``wait`` tells what came of it."""
        self._send((card, self.request))

    def wait(self) -> bool:
        """Whether it is ready."""
        answer = self._answer(READY_S, f"it was not ready after {READY_S:g} s")
        if isinstance(answer, Ready):
            self.runtime = answer.runtime
        return not self.reason

    def turn(self) -> None:
        self._send(Turn(_TURN_S))
        answer = self._answer(BATCH_S, f"one batch took more than {BATCH_S:g} s")
        if isinstance(answer, Took):
            self.turns.append(answer)

    @property
    def goes_on(self) -> bool:
        """Whether it is to have another turn."""
        if self.reason or not self.turns:
            return not self.reason
        if len(self.turns) >= _TURNS:
            return sum(turn.seconds for turn in self.turns) < _ENOUGH_S
        return not any(turn.own_s > _ENOUGH_S and turn.share > _QUIET for turn in self.turns)

    @property
    def rate(self) -> Rate:
        if self.reason:
            return Rate(self.request.device, self.runtime, None, self.reason)
        usual = median(turn.tiles / turn.own_s for turn in self.turns)
        return Rate(self.request.device, self.runtime, float(f"{usual:.4g}"))

    def _send(self, message: object) -> None:
        """That the other end is gone is seen where its answer is waited for."""
        with suppress(ConnectionError):
            if self.way is not None:
                self.way.send(message)

    def _answer(self, patience_s: float, late: str) -> Answer | None:
        """``None``, and a reason, where there is none.  Raises NotMeasured where the system ended
        its process: that says nothing of the device."""
        if self.way is None or self.process is None:
            raise ValueError("a contender was asked before it was entered")
        try:
            if not self.way.poll(patience_s):
                self.reason = late
                return None
            answer: Answer = self.way.recv()
        except (EOFError, ConnectionError):
            self.reason = f"its process ended by {_ended(self.process.wait())}"
            return None
        if isinstance(answer, Refused):
            self.reason = answer.reason
        return answer


def _ended(status: int) -> str:
    """Raises NotMeasured."""
    if status == -signal.SIGKILL:
        raise NotMeasured("the system ended a process that tried a device: for want of memory?")
    return signal.Signals(-status).name if status < 0 else f"itself, with status {status}"
