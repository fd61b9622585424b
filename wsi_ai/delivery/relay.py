"""Takes what waits in the outbox to the sinks: a thread a sink, so that none waits for another."""

import logging
import math
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from wsi_ai.core.attempt import error_of
from wsi_ai.core.wording import counted
from wsi_ai.delivery.contract import HeartbeatSink, Sink
from wsi_ai.delivery.heartbeat import pulse_of, sender_of
from wsi_ai.delivery.messages import Pulse, Receipt
from wsi_ai.delivery.outbox import Claimed, Mismatch, Outbox
from wsi_ai.delivery.outbox.check import stuck
from wsi_ai.delivery.outbox.claims import Answer
from wsi_ai.errors import DeliveryError, OutputError, Paused, Refused, TryAgain

log = logging.getLogger(__name__)

Entry = Mapping[str, Any]
Answered = list[tuple[Claimed, Answer]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How a relay works through what waits."""

    batch: int = 32
    lease_s: float = 60.0
    """At least; more where the sink is given longer for an attempt."""
    idle_s: float = 0.25
    """How long after its last look a flag of another process may lie unseen."""
    alarm_after_s: float = 900.0
    alarm_every_s: float = 10.0
    check_every_s: float = 3600.0


def no_record(entries: Sequence[Entry]) -> None:
    """For a relay whose attempts are not recorded."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Delivers at least once, in order per flag and endpoint; an endpoint may have several sinks.

    Killed at any moment, it has lost nothing: what it had claimed goes out again when the lease
    ends, under the same event id.
    """

    outbox: Outbox
    sinks: Sequence[Sink]
    pace: Pace = Pace()
    record: Callable[[Sequence[Entry]], None] = no_record
    """Hears of every attempt once it is settled."""
    alarm: Callable[[str], None] = log.error
    audit_head: Callable[[], str | None] = lambda: None
    """Where the record ends now; every receiver keeps it."""
    _wake: threading.Event = field(default_factory=threading.Event)

    def wake(self) -> None:
        """Something new is in the outbox: look now."""
        self._wake.set()

    def step(self, sink: Sink) -> int:
        """Make one batch of deliveries.  Returns how many were tried."""
        name, pace = sink.endpoint.name, self.pace
        lease_s = max(pace.lease_s, 4 * sink.endpoint.timeout_s)
        claimed = self.outbox.claim(name, pace.batch, lease_s, sink.endpoint.version)
        if not claimed:
            return 0
        answers = self._send(sink, claimed, lease_s)
        self.outbox.settle(name, answers)
        tried = [_entry(name, one, answer) for one, answer in answers if answer is not None]
        self.record(tried)
        if tried:
            done = sum(isinstance(answer, Receipt) for _, answer in answers)
            log.info("sink %s: %d of %d delivered", name, done, len(tried))
        return len(tried)

    def beat(self, sink: HeartbeatSink) -> float:
        """Tell the sink's receiver that we are alive.  Returns the seconds until the next time.

        A heartbeat that is not taken is not kept: that it is missing says what there is to say.
        """
        name, at = sink.endpoint.name, self._at()
        error = error_of(lambda: sink.beat(self._pulse(sink, at), at))
        if isinstance(error, DeliveryError | OutputError):
            log.warning("no heartbeat to %s: %s", name, error)
        elif error is not None:
            self._sink_broke(sink, error, None)
        return sink.endpoint.heartbeat_s or math.inf

    def _pulse(self, sink: Sink, at: datetime) -> Pulse:
        configured = {one.endpoint.name for one in self.sinks}
        backlog = self.outbox.backlog(sink.endpoint.name, configured)
        sender = sender_of(self.outbox.identity(), platform.node())
        news = self.audit_head(), self.outbox.not_started()
        return pulse_of(sink.endpoint, sender, backlog, at, *news)

    def sound_alarms(self) -> int:
        """Tell of urgent flags that are late or dead.  Returns how many."""
        late = self.outbox.take_alarms(self.pace.alarm_after_s)
        if late:
            self.alarm(
                f"{counted(len(late), 'urgent flag')} not delivered; see: wsi-ai outbox list"
            )
            self.record([_alarm_entry(line.event_id, line.sink) for line in late])
        return len(late)

    def look_for_damage(self) -> int:
        """Tell of what would never be sent, for it is not what was written.  Returns how much."""
        found = len(stuck(self.outbox))
        if found:
            what = counted(found, "thing")
            self.alarm(f"damaged in the outbox: {what}; see: wsi-ai outbox check")
        return found

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop; the batch at hand is finished first.

        Whatever a sink raises against its contract, the others deliver, and an alarm says so.
        """
        with ThreadPoolExecutor(len(self.sinks) + 1) as pool:
            work = [pool.submit(self._work, sink, stop) for sink in self.sinks]
            work.append(pool.submit(self._watch, stop))
            wait(work, return_when=FIRST_EXCEPTION)
            stop.set()
        for each in work:
            each.result()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Deliver in the background while the block runs."""
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            work = pool.submit(self.run, stop)
            try:
                yield
            finally:
                stop.set()
                self.wake()
        work.result()

    def wait_until_quiet(self, seconds: float) -> int:
        """Wait until all that can be sent now was tried, at most so long.  Returns how many still
        wait."""
        end = time.monotonic() + seconds
        while self.outbox.under_way() and time.monotonic() < end:
            time.sleep(min(0.02, self.pace.idle_s))
        return self.outbox.waiting()

    def reconcile(self) -> dict[str, list[Mismatch] | None]:
        """By sink: what its receiver does not hold as it was sent; ``None`` where it cannot be
        asked.  Raises DeliveryError."""
        at, found = self._at(), dict[str, list[Mismatch] | None]()
        for name, sink in {sink.endpoint.name: sink for sink in self.sinks}.items():
            held = sink.held(at)
            found[name] = None if held is None else self.outbox.mismatches(name, held)
        return found

    def _work(self, sink: Sink, stop: threading.Event) -> None:
        heart, next_beat = self._heart(sink), 0.0
        while not stop.is_set():
            if heart is not None and time.monotonic() >= next_beat:
                next_beat = time.monotonic() + self.beat(heart)
            try:
                busy = self.step(sink)
            except OutputError as error:
                log.error("%s; trying again", error)  # noqa: TRY400  # the trace may quote a flag
                busy = 0
            if not busy:
                self._wake.wait(self.pace.idle_s)
                self._wake.clear()

    def _heart(self, sink: Sink) -> HeartbeatSink | None:
        """The sink, if it is the one that says for its endpoint that we are alive."""
        first = next(s for s in self.sinks if s.endpoint.name == sink.endpoint.name)
        wanted = sink is first and sink.endpoint.heartbeat_s is not None
        return sink if wanted and isinstance(sink, HeartbeatSink) else None

    def _watch(self, stop: threading.Event) -> None:
        next_check = time.monotonic()
        while not stop.is_set():
            try:
                self.sound_alarms()
                if time.monotonic() >= next_check:
                    next_check += self.pace.check_every_s
                    self.look_for_damage()
            except OutputError as error:
                log.error("%s; trying again", error)  # noqa: TRY400
            stop.wait(self.pace.alarm_every_s)

    def _send(self, sink: Sink, claimed: Sequence[Claimed], lease_s: float) -> Answered:
        """Send while the lease holds.  An endpoint that is paused gets nothing more."""
        start, answers, paused = self.outbox.clock(), Answered(), False
        for one in claimed:
            left_s = start + lease_s - self.outbox.clock()
            if paused or left_s < 2 * sink.endpoint.timeout_s:
                answers.append((one, None))
                continue
            answer = self._send_one(sink, one)
            paused = isinstance(answer, Paused)
            answers.append((one, answer))
        return answers

    def _send_one(self, sink: Sink, one: Claimed) -> Receipt | DeliveryError:
        if not sink.endpoint.takes(one.message.trust):
            return Refused("this sink no longer takes this trust's flags")
        receipts: list[Receipt] = []
        error = error_of(lambda: receipts.append(sink.send(one.message, self._at())))
        if isinstance(error, DeliveryError):
            return error
        if error is None and isinstance(receipts[0], Receipt):
            return receipts[0]
        self._sink_broke(sink, error, one.message.event_id)
        return TryAgain("the sink failed as none should")

    def _sink_broke(self, sink: Sink, error: Exception | None, event_id: str | None) -> None:
        """Against its contract: its own flags wait, and those of the others go out."""
        name = sink.endpoint.name
        log.debug("sink %s", name, exc_info=error)
        self.alarm(f"sink {name} fails as none should; its flags wait, please report it")
        self.record([{"what": "alarm", "event_id": event_id, "sink": name}])

    def _at(self) -> datetime:
        return datetime.fromtimestamp(self.outbox.clock(), UTC)


def _entry(sink: str, one: Claimed, answer: Receipt | DeliveryError) -> Entry:
    """Of an attempt.  Ids and codes only: nothing of the case."""
    told = {"reference": answer.reference} if isinstance(answer, Receipt) else {"code": answer.code}
    return {
        "what": "attempt",
        "event_id": one.message.event_id,
        "flag_id": one.message.flag_id,
        "revision": one.message.revision,
        "sink": sink,
        "attempt": one.attempts,
        "outcome": type(answer).__name__,
        **told,
    }


def _alarm_entry(event_id: str, sink: str) -> Entry:
    return {"what": "alarm", "event_id": event_id, "sink": sink}
