"""The outbox as others see it: every method is one transaction."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine

import wsi_ai.delivery.outbox.admin as admin
import wsi_ai.delivery.outbox.claims as claims
import wsi_ai.delivery.outbox.retention as retention
import wsi_ai.delivery.outbox.revisions as revisions
from wsi_ai.core.flags import Standing
from wsi_ai.delivery.events import next_early_revision, next_revision, retraction, trust_of
from wsi_ai.delivery.flag_types import TriageFlag
from wsi_ai.delivery.heartbeat import Backlog
from wsi_ai.delivery.messages import Endpoint, Kind, Retraction
from wsi_ai.delivery.outbox.backoff import Backoff
from wsi_ai.delivery.outbox.claims import Answer, Claimed, Settling
from wsi_ai.delivery.outbox.retention import PURGED
from wsi_ai.delivery.outbox.states import OPEN, State
from wsi_ai.delivery.outbox.tables import READING, alone, translated
from wsi_ai.errors import OutputError

Flag = Mapping[str, Any]
Clock = Callable[[], float]
"""Seconds since 1970, UTC."""


def no_listener(flag: Flag) -> None:
    """For an outbox whose decisions are not recorded."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """Flags on their way out.  Any number of processes may share the database.

    ``decided`` hears of each new revision before it is committed: where it raises, nothing is kept.
    Every method raises OutputError where the database refuses, and then has changed nothing.
    """

    engine: Engine
    clock: Clock
    random: Random
    schedule: Backoff = field(default_factory=Backoff)
    decided: Callable[[Flag], None] = no_listener

    def put(self, flag: Flag, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
        """Keep a finished flag; give it back with its revision.  Nothing is kept where the newest
        revision says the same."""
        return self._put(flag, endpoints, next_revision)

    def put_early(self, flag: Flag, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
        """Keep a flag that a finished one will follow, if it raises the level."""
        return self._put(flag, endpoints, next_early_revision)

    def standing(self, flag_id: str) -> Standing | None:
        """What was last put under this id, unless it was taken back."""
        with self._reading() as connection:
            return revisions.standing(connection, flag_id)

    def retract(self, flag_id: str, why: Retraction) -> dict[str, Any] | None:
        """Take a flag back wherever it went; ``None`` where there is none, or it was taken back.

        Raises OutputError too where its content is purged.
        """
        with self._transaction() as connection:
            return self._retract(connection, flag_id, why)

    def recall(self, model: str, version: str) -> list[dict[str, Any]]:
        """Take back every live flag of a model; it need not be installed."""
        with self._transaction() as connection:
            live = [r for r in admin.live_of(connection, model, version) if r.body != PURGED]
            why = Retraction.MODEL_DEFECT
            taken = [self._retract(connection, row.flag_id, why) for row in live]
            return [flag for flag in taken if flag is not None]

    def beyond_recall(self, model: str, version: str) -> int:
        """How many live flags of a model are purged: their receivers must be told by a person."""
        with self._reading() as connection:
            return sum(r.body == PURGED for r in admin.live_of(connection, model, version))

    def purge(self, before: float) -> int:
        """Forget the content of settled events made before then.  Returns of how many."""
        with self._transaction() as connection:
            purged = retention.purge(connection, before)
        retention.leave_no_copy(self.engine)
        return purged

    def claim(self, sink: str, most: int = 32, lease_s: float = 120.0) -> list[Claimed]:
        """Lease what is due at this sink now, in the order to send it in."""
        with self._transaction() as connection:
            return claims.claim(connection, sink, most, lease_s, self.clock())

    def settle(self, sink: str, answers: Sequence[tuple[Claimed, Answer]]) -> None:
        """Write down what came of what was claimed."""
        with self._transaction() as connection:
            settling = Settling(self.schedule, self.random, self.clock())
            settling.settle(connection, sink, answers)

    def lines(self, states: Sequence[State] = tuple(State), since: float = 0) -> list[admin.Line]:
        with self._reading() as connection:
            return admin.lines(connection, states, since)

    def waiting(self) -> int:
        """How many deliveries are still to be made."""
        with self._reading() as connection:
            return admin.count(connection, OPEN)

    def under_way(self) -> int:
        """How many deliveries are being made, or could be made now."""
        with self._reading() as connection:
            return claims.count_under_way(connection, self.clock())

    def backlog(self, sink: str) -> Backlog:
        """What a sink has not got."""
        with self._reading() as connection:
            return admin.backlog(connection, sink)

    def flags(self) -> list[dict[str, Any]]:
        """The newest revision of every flag that is not purged."""
        with self._reading() as connection:
            rows = [row.flag_id for row in admin.newest_events(connection)]
            kept = [revisions.newest(connection, flag_id) for flag_id in rows]
            return [one.flag for one in kept if one is not None and one.flag is not None]

    def flag(self, flag_id: str) -> dict[str, Any] | None:
        with self._reading() as connection:
            kept = revisions.newest(connection, flag_id)
            return kept.flag if kept else None

    def body(self, event_id: str) -> bytes | None:
        """What is sent, to the byte."""
        with self._reading() as connection:
            return admin.body_of(connection, event_id)

    def replay(self, event_id: str) -> int:
        """Send an event again.  Raises OutputError where a newer revision took its place."""
        with self._transaction() as connection:
            return admin.send_again(connection, event_id, self.clock())

    def replay_old(self, event_id: str) -> int:
        """Send an event again, even one that was superseded: a receiver must ignore it."""
        with self._transaction() as connection:
            return admin.force_again(connection, event_id, self.clock())

    def skip(self, event_id: str) -> int:
        with self._transaction() as connection:
            return admin.skip(connection, event_id, self.clock())

    def hurry(self, since: float = 0) -> None:
        """Make what waits due now, and try paused endpoints again."""
        with self._transaction() as connection:
            admin.hurry(connection, since, self.clock())

    def route_again(self, endpoints: Iterable[Endpoint]) -> int:
        """Give events without a route to endpoints that take them now."""
        with self._transaction() as connection:
            return revisions.route_again(connection, endpoints, self.clock())

    def take_alarms(self, after_s: float = 900.0) -> list[admin.Line]:
        """Urgent flags that should have been delivered by now; each is told once."""
        with self._transaction() as connection:
            return admin.take_alarms(connection, after_s, self.clock())

    def mismatches(self, sink: str, held: Mapping[str, int]) -> list[admin.Mismatch]:
        """What the sink's receiver should hold, and does not."""
        with self._reading() as connection:
            return admin.mismatches(connection, sink, held)

    def _put(
        self,
        flag: Flag,
        endpoints: Iterable[Endpoint],
        revise: Callable[[Flag, Any], dict[str, Any] | None],
    ) -> dict[str, Any]:
        with self._transaction() as connection:
            alone(connection, flag["flag_id"])
            before = revisions.newest(connection, flag["flag_id"])
            revised = revise(flag, before.said if before else None)
            if revised is None:
                return _as_said(flag, before)
            sinks = revisions.sinks_for(endpoints, trust_of(revised))
            self._keep(connection, revised, sinks)
            return revised

    def _retract(
        self, connection: Connection, flag_id: str, why: Retraction
    ) -> dict[str, Any] | None:
        alone(connection, flag_id)
        before = revisions.newest(connection, flag_id)
        if before is None or before.said.kind is Kind.RETRACTED:
            return None
        if before.flag is None:
            raise OutputError("its content is purged: tell its receiver that it no longer holds")
        at = datetime.fromtimestamp(self.clock(), UTC)
        taken = retraction(before.flag, before.said, why, at)
        self._keep(connection, taken, revisions.sinks_that_know(connection, flag_id))
        return taken

    def _keep(self, connection: Connection, flag: Flag, sinks: Iterable[str]) -> None:
        TriageFlag.model_validate(flag)
        revisions.keep(connection, flag, sinks, self.clock())
        self.decided(flag)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Holds no one up."""
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(**READING)


def _as_said(flag: Flag, before: revisions.KeptRevision | None) -> dict[str, Any]:
    """The flag as it was said before; where that is purged, under its revision."""
    if before is None:
        return dict(flag)
    return before.flag or {**flag, "revision": before.said.revision}
