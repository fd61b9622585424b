"""The outbox as others see it: every method is one transaction."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine

import wsi_ai.delivery.outbox.admin as admin
import wsi_ai.delivery.outbox.adoption as adoption
import wsi_ai.delivery.outbox.claims as claims
import wsi_ai.delivery.outbox.conflicts as conflicts
import wsi_ai.delivery.outbox.decisions as decisions
import wsi_ai.delivery.outbox.last_run as last_run
import wsi_ai.delivery.outbox.retention as retention
import wsi_ai.delivery.outbox.revisions as revisions
from wsi_ai.core.flags import Standing
from wsi_ai.delivery.events import next_early_revision, next_revision, trust_of
from wsi_ai.delivery.flag_types import TriageFlag
from wsi_ai.delivery.heartbeat import Backlog
from wsi_ai.delivery.messages import Endpoint, Held, NotStarted, Receipt, Retraction, Version
from wsi_ai.delivery.outbox.backoff import Backoff
from wsi_ai.delivery.outbox.claims import Answer, Claimed, Settling
from wsi_ai.delivery.outbox.database import alone, identity, reading, translated
from wsi_ai.delivery.outbox.decisions import DecisionLog
from wsi_ai.delivery.outbox.recall import (
    BATCH,
    PAUSE_S,
    Batch,
    count_purged,
    take_back,
    take_one_back,
)
from wsi_ai.delivery.outbox.states import OPEN, State
from wsi_ai.errors import Conflict, OutputError

log = logging.getLogger(__name__)

Flag = Mapping[str, Any]
Clock = Callable[[], float]
"""Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """Flags on their way out.  Any number of processes may share the database.

    Where ``log`` cannot be written to, nothing is kept.  What is kept is written down once it is
    committed, and if not then, with the next one: so the log never tells of what was not.
    Every method raises OutputError where the database refuses, and then has changed nothing.
    """

    engine: Engine
    clock: Clock
    random: Random
    schedule: Backoff = field(default_factory=Backoff)
    log: DecisionLog | None = None
    """``None``: decisions are not recorded."""
    guard: Callable[[Connection], None] = lambda _: None
    """Called in the transaction of every decision; what it raises, it refuses."""

    def put(self, flag: Flag, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
        """Keep a finished flag; give it back with its revision.  Nothing is kept where the newest
        revision says the same."""
        return self._put(flag, endpoints, next_revision)

    def put_early(self, flag: Flag, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
        """Keep a flag that a finished one will follow, if it raises the level."""
        return self._put(flag, endpoints, next_early_revision)

    def standing(self, flag_id: str) -> Standing | None:
        """What was last put under this id, unless it was taken back."""
        with self.reading() as connection:
            return revisions.standing(connection, flag_id)

    def retract(self, flag_id: str, why: Retraction) -> dict[str, Any] | None:
        """Take a flag back wherever it went; ``None`` where there is none, or it was taken back.

        Raises OutputError too where its content is purged.
        """
        with self.deciding() as connection:
            alone(connection, flag_id)
            taken = take_one_back(connection, flag_id, why, self.clock())
            if taken is not None:
                self._keep(connection, taken, revisions.sinks_that_know(connection, flag_id))
            return taken

    def recall(self, model: str, version: str) -> Iterator[Batch]:
        """Take back every live flag of a model, a batch each time; it need not be installed.
        Others put and claim in between."""
        after = ""
        while True:
            with self.deciding() as connection:
                batch = take_back(connection, (model, version), after, self.clock())
                if batch is not None:
                    self._note(connection, batch.event_ids)
            if batch is None:
                return
            after = batch.last
            yield batch
            time.sleep(PAUSE_S)

    def beyond_recall(self, model: str, version: str) -> int:
        """How many live flags of a model are purged: their receivers must be told by a person."""
        with self.reading() as connection:
            return count_purged(connection, model, version)

    def purge(self, before: float) -> int:
        """Forget the content of settled events made before then.  Returns of how many."""
        with self.writing() as connection:
            purged = retention.purge(connection, before)
        retention.leave_no_copy(self.engine)
        return purged

    def claim(
        self,
        sink: str,
        most: int = 32,
        lease_s: float = 120.0,
        version: Version = Version.V1_1,
    ) -> list[Claimed]:
        """Lease what is due at this sink now, in the order to send it in, as it takes it.  Where
        nothing is due, nobody is held up."""
        now = self.clock()
        with self.reading() as connection:
            if claims.is_idle(connection, sink, now):
                return []
        with self.writing() as connection:
            found, spoiled = claims.claim(connection, sink, most, lease_s, now)
            if spoiled:
                log.error("%d flags in the outbox are not what was kept", len(spoiled))
            return [
                replace(one, message=conflicts.for_sink(connection, sink, version, one.message))
                for one in found
            ]

    def settle(self, sink: str, answers: Sequence[tuple[Claimed, Answer]]) -> None:
        """Write down what came of what was claimed."""
        overruled = [self._is_overruled(sink, one, answer) for one, answer in answers]
        with self.writing() as connection:
            settling = Settling(self.schedule, self.random, self.clock())
            settling.settle(connection, sink, answers, overruled)

    def lines(
        self,
        states: Sequence[State] = tuple(State),
        since: float = 0,
        after: admin.Place | None = None,
    ) -> list[admin.Line]:
        """A page of them: at most ``admin.MOST_LINES``, behind ``after``."""
        with self.reading() as connection:
            return admin.lines(connection, states, since, after)

    def all_lines(
        self, states: Sequence[State] = tuple(State), since: float = 0
    ) -> Iterator[admin.Line]:
        """One after the other, however many there are."""
        page = self.lines(states, since)
        while page:
            yield from page
            page = self.lines(states, since, admin.place_of(page[-1]))

    def identity(self) -> str:
        """Of this outbox, wherever it lies."""
        with self.reading() as connection:
            return identity(connection)

    def note_run(self, not_started: NotStarted | None) -> None:
        """The last run could not begin; or, with ``None``, it did."""
        with self.writing() as connection:
            last_run.note_run(connection, not_started)

    def not_started(self) -> NotStarted | None:
        """Of the last run, where it could not begin."""
        with self.reading() as connection:
            return last_run.not_started(connection)

    def waiting(self) -> int:
        """How many deliveries are still to be made."""
        with self.reading() as connection:
            return admin.count(connection, OPEN)

    def under_way(self) -> int:
        """How many deliveries are being made, or could be made now; at most some are counted."""
        with self.reading() as connection:
            return claims.count_under_way(connection, self.clock())

    def backlog(self, sink: str, configured: Collection[str] = ()) -> Backlog:
        """What a sink has not got, and what waits for none of those that are ``configured``."""
        with self.reading() as connection:
            elsewhere = adoption.waiting_elsewhere(connection, {sink, *configured})
            return admin.backlog(connection, sink, sum(elsewhere.values()))

    def flags(self) -> Iterator[dict[str, Any]]:
        """The newest revision of every flag that is not purged."""
        after = ""
        while True:
            with self.reading() as connection:
                rows = admin.newest_events(connection, after, BATCH)
            if not rows:
                return
            yield from (kept.flag for kept in map(revisions.kept_from, rows) if kept.flag)
            after = rows[-1].flag_id

    def flag(self, flag_id: str) -> dict[str, Any] | None:
        with self.reading() as connection:
            kept = revisions.newest(connection, flag_id)
            return kept.flag if kept else None

    def body(self, event_id: str) -> bytes | None:
        """What was kept, to the byte."""
        with self.reading() as connection:
            return admin.body_of(connection, event_id)

    def replay(self, event_id: str) -> int:
        """Send an event again.  Raises OutputError where a newer revision took its place."""
        with self.writing() as connection:
            return admin.send_again(connection, event_id, self.clock())

    def replay_old(self, event_id: str) -> int:
        """Send an event again, even one that was superseded: a receiver must ignore it."""
        with self.writing() as connection:
            return admin.force_again(connection, event_id, self.clock())

    def skip(self, event_id: str) -> int:
        with self.writing() as connection:
            return admin.skip(connection, event_id, self.clock())

    def hurry(self, since: float = 0) -> None:
        """Make what waits due now, and try paused endpoints again."""
        with self.writing() as connection:
            admin.hurry(connection, since, self.clock())

    def route_again(self, endpoints: Iterable[Endpoint]) -> int:
        """Give events without a route to endpoints that take them now."""
        with self.writing() as connection:
            return revisions.route_again(connection, endpoints, self.clock())

    def take_alarms(self, after_s: float = 900.0) -> list[admin.Line]:
        """Urgent flags that should have been delivered by now; each is told once."""
        with self.writing() as connection:
            return admin.take_alarms(connection, after_s, self.clock())

    def mismatches(self, sink: str, held: Mapping[str, Held]) -> list[admin.Mismatch]:
        """What the sink's receiver should hold, and does not."""
        with self.reading() as connection:
            return admin.mismatches(connection, sink, held)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Holds no one up."""
        with reading(self.engine) as connection:
            yield connection

    @contextmanager
    def deciding(self) -> Iterator[Connection]:
        """A transaction of new revisions, which are in the log behind it."""
        if self.log is not None:
            self.log.check()
        with self.writing() as connection:
            self.guard(connection)
            yield connection
        self.write_down()

    def write_down(self) -> None:
        """Tell the log of what it has not heard of yet.  Where it cannot be written to, what is
        kept stays kept: the next one tries again."""
        if self.log is None:
            return
        try:
            more = True
            while more:
                with self.writing() as connection:
                    more = decisions.write_some_down(connection, self.log)
        except OutputError as error:
            log.error("a decision is kept, and not in the audit yet: %s", error)  # noqa: TRY400

    def _put(
        self,
        flag: Flag,
        endpoints: Iterable[Endpoint],
        revise: Callable[[Flag, Any], dict[str, Any] | None],
    ) -> dict[str, Any]:
        flag_id = flag["flag_id"]
        with self.deciding() as connection:
            alone(connection, flag_id)
            before = revisions.newest(connection, flag_id)
            revised = revise(flag, revisions.above_all_held(connection, flag_id, before))
            if revised is None:
                return _as_said(flag, before)
            sinks = revisions.sinks_for(endpoints, trust_of(revised))
            self._keep(connection, revised, sinks)
            return revised

    def _is_overruled(self, sink: str, claimed: Claimed, answer: Answer) -> bool:
        """Whether the receiver holds another outbox's answer; then that is settled here."""
        held = answer.held if isinstance(answer, Receipt | Conflict) else None
        message = claimed.message
        came = isinstance(answer, Receipt)
        if not isinstance(held, Held) or (came and held.event_id == message.event_id):
            return False
        with self.deciding() as connection:
            alone(connection, message.flag_id)
            if came and conflicts.is_no_surprise(connection, sink, message, held):
                return False
            new = conflicts.settle_conflict(connection, sink, message, held, self.clock())
            self._note(connection, [new] if new is not None else [])
        return True

    def _note(self, connection: Connection, event_ids: Sequence[str]) -> None:
        if self.log is not None:
            decisions.note(connection, event_ids)

    def _keep(self, connection: Connection, flag: Flag, sinks: Iterable[str]) -> None:
        TriageFlag.model_validate(flag)
        self._note(connection, [revisions.keep(connection, flag, sinks, self.clock())])


def _as_said(flag: Flag, before: revisions.KeptRevision | None) -> dict[str, Any]:
    """The flag as it was said before; where that is purged, under its revision."""
    if before is None:
        return dict(flag)
    return before.flag or {**flag, "revision": before.said.revision}
