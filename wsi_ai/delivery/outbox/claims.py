"""Who may send what now, and what came of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from wsi_ai.delivery.messages import Message, Receipt
from wsi_ai.delivery.outbox.backoff import Backoff
from wsi_ai.delivery.outbox.database import alone
from wsi_ai.delivery.outbox.revisions import message_from
from wsi_ai.delivery.outbox.states import OPEN, RANKS, SKEW_S, State
from wsi_ai.delivery.outbox.tables import delivery, endpoint, event
from wsi_ai.errors import Conflict, DeliveryError, Paused, Refused, TryAgain

GONE = 410
"""The receiver's word for: never come back."""

Answer = Receipt | DeliveryError | None
"""``None``: it was not tried after all."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that one relay alone may send until its lease ends."""

    message: Message
    attempts: int
    """With this one."""
    created: float


def is_idle(connection: Connection, sink: str, now: float) -> bool:
    """Whether there is nothing to claim, and no lease to end: then nobody need be held up."""
    mended = select(delivery.c.event_id).where(
        or_(*(and_(delivery.c.state == s, delivery.c.changed > now + SKEW_S) for s in OPEN))
    )
    over = select(delivery.c.event_id).where(*_inflight(sink), delivery.c.lease_until <= now)
    if any(connection.execute(one.limit(1)).first() for one in (mended, over)):
        return False
    return not any(connection.execute(one).first() for one in _ready(connection, sink, now, 1))


def claim(
    connection: Connection, sink: str, most: int, lease_s: float, now: float
) -> tuple[list[Claimed], list[str]]:
    """Lease what is due at ``sink``: urgent flags first, and of a flag only the oldest revision
    that is not settled.  Also the ids of events that are not what was kept: those are dead, and an
    alarm is due."""
    _end_leases(connection, sink, now)
    rows: list[Any] = []
    for ready in _ready(connection, sink, now, most):
        locked = ready.with_for_update(of=delivery, skip_locked=True)
        rows += connection.execute(locked).all()[: most - len(rows)]
    named = delivery.c.event_id.in_([row.event_id for row in rows]), delivery.c.sink == sink
    leased = {"state": State.INFLIGHT, "lease_until": now + lease_s, "changed": now}
    more = {"attempts": delivery.c.attempts + 1}
    connection.execute(update(delivery).where(*named).values(leased | more))
    claimed, spoiled = list[Claimed](), list[str]()
    events = _events(connection, [row.event_id for row in rows])
    for row in rows:
        try:
            message = message_from(events[row.event_id])
        except (ValueError, KeyError) as error:
            spoiled.append(row.event_id)
            told = "its content is not there" if isinstance(error, KeyError) else str(error)
            _bury(connection, sink, row.event_id, told, now)
        else:
            claimed.append(Claimed(message, row.attempts + 1, row.created))
    return claimed, spoiled


def _events(connection: Connection, names: list[str]) -> dict[str, Any]:
    """Rows of ``event``, by id; one that the database itself cannot read is not among them."""
    try:
        found = connection.execute(select(event).where(event.c.event_id.in_(names))).all()
    except DBAPIError:
        if len(names) <= 1:
            return {}
        half = len(names) // 2
        return _events(connection, names[:half]) | _events(connection, names[half:])
    return {row.event_id: row for row in found}


def _bury(connection: Connection, sink: str, event_id: str, why: str, now: float) -> None:
    """Dead, and as urgent as can be: for nobody knows what it said."""
    dead = {"state": State.DEAD, "rank": 0, "alarmed": False, "lease_until": None, "changed": now}
    here = delivery.c.event_id == event_id, delivery.c.sink == sink
    connection.execute(update(delivery).where(*here).values(**dead, last_error=why))


MOST_COUNTED = 100


def count_under_way(connection: Connection, now: float) -> int:
    """How many deliveries are being made, or could be made now; more than ``MOST_COUNTED`` of a
    kind are not counted."""
    return sum(
        len(connection.execute(one).all())
        for sink in sinks_in(connection)
        for one in (
            select(delivery.c.event_id).where(*_inflight(sink)).limit(MOST_COUNTED),
            *_ready(connection, sink, now, MOST_COUNTED),
        )
    )


def sinks_in(connection: Connection) -> list[str]:
    """All sinks that something was ever to go to; a step for each, not for each row."""
    found: list[str] = []
    last = ""
    while True:
        name = connection.scalar(select(func.min(delivery.c.sink)).where(delivery.c.sink > last))
        if name is None:
            return found
        found.append(last := name)


def _ready(connection: Connection, sink: str, now: float, most: int) -> list[Select[Any]]:
    """What is due, unless the endpoint is paused or an older revision of the flag comes first:
    by rank, for then an index leads to it however much else waits."""
    if _is_paused(connection, sink, now):
        return []
    older = delivery.alias("older")
    waits = exists().where(
        older.c.flag_id == delivery.c.flag_id,
        older.c.sink == delivery.c.sink,
        older.c.revision < delivery.c.revision,
        older.c.state.in_(OPEN),
    )
    here = delivery.c.sink == sink, delivery.c.state == State.PENDING
    columns = delivery.c.event_id, delivery.c.attempts, delivery.c.created
    return [
        select(*columns)
        .where(*here, delivery.c.rank == rank, delivery.c.next_at <= now, ~waits)
        .order_by(delivery.c.next_at)
        .limit(most)
        for rank in RANKS
    ]


def _is_paused(connection: Connection, sink: str, now: float) -> bool:
    paused = endpoint.c.paused_until > now, endpoint.c.changed <= now + SKEW_S
    found = select(endpoint.c.sink).where(endpoint.c.sink == sink, *paused)
    return connection.execute(found).first() is not None


def _inflight(sink: str) -> tuple[ColumnElement[bool], ...]:
    return delivery.c.sink == sink, delivery.c.state == State.INFLIGHT


@dataclass(frozen=True, slots=True)
class Settling:
    """What answers mean for what was claimed."""

    schedule: Backoff
    random: Random
    now: float

    def settle(
        self,
        connection: Connection,
        sink: str,
        answers: Sequence[tuple[Claimed, Answer]],
        settled: Sequence[bool],
    ) -> None:
        """Write down what came of each; a receipt counts even where the lease had ended.  Those
        that are ``settled`` are so already; see ``conflicts``."""
        left = [pair for pair, done in zip(answers, settled, strict=True) if not done]
        sent = [(c, a) for c, a in left if isinstance(a, Receipt)]
        unsent = [(c, a) for c, a in left if not isinstance(a, Receipt)]
        _set(connection, [self._row(sink, c, a) for c, a in sent], *State)
        _set(connection, [self._row(sink, c, a) for c, a in unsent], State.INFLIGHT)
        self._note_endpoint(connection, sink, [answer for _, answer in answers])

    def _row(self, sink: str, claimed: Claimed, answer: Answer) -> dict[str, Any]:
        row: dict[str, Any] = {
            "b_event": claimed.message.event_id,
            "b_sink": sink,
            "state": State.PENDING,
            "attempts": claimed.attempts,
            "next_at": self.now,
            "lease_until": None,
            "changed": self.now,
            "last_code": None,
            "last_error": None,
            "reference": None,
        }
        match answer:
            case None:
                row["attempts"] -= 1
            case Receipt():
                row |= {"state": State.DELIVERED, "reference": answer.reference}
            case DeliveryError():
                row |= {"last_code": answer.code, "last_error": str(answer)}
                row |= self._after_failure(claimed, answer)
        return row

    def _after_failure(self, claimed: Claimed, error: DeliveryError) -> dict[str, Any]:
        if isinstance(error, Refused) or self.schedule.is_over(self.now - claimed.created):
            return {"state": State.DEAD}
        if isinstance(error, TryAgain):
            urgent, schedule = claimed.message.urgent, self.schedule
            wait = schedule.urgent_wait_s if urgent else schedule.wait_s
            return {"next_at": self.now + wait(claimed.attempts, error.after_s, self.random)}
        return {}

    def _note_endpoint(self, connection: Connection, sink: str, answers: Sequence[Answer]) -> None:
        failures = _failures(connection, sink)
        before, pause = failures, 0.0
        why: str | None = None
        for answer in answers:
            if isinstance(answer, Paused):
                why = str(answer)
                pause = math.inf if answer.code == GONE else self.schedule.pause_s
            elif isinstance(answer, TryAgain):
                failures += 1
            elif isinstance(answer, Receipt | Conflict):
                failures = 0
        limit = self.schedule.failures_in_a_row
        if not pause and failures >= limit:
            pause = self.random.uniform(0, self.schedule.down_s)
        if before >= limit > failures:
            _hurry(connection, sink, self.now)
        if pause or failures != before:
            alone(connection, f"endpoint {sink}")
            _write_endpoint(connection, sink, self.now, (pause, failures, why))


def _write_endpoint(
    connection: Connection, sink: str, now: float, told: tuple[float, int, str | None]
) -> None:
    pause_s, failures, why = told
    connection.execute(delete(endpoint).where(endpoint.c.sink == sink))
    row = {"sink": sink, "paused_until": now + pause_s, "changed": now}
    connection.execute(insert(endpoint).values(**row, failures=failures, why=why))


def _hurry(connection: Connection, sink: str, now: float) -> None:
    """The receiver is back: what waits for it has waited long enough."""
    waits = delivery.c.sink == sink, delivery.c.state == State.PENDING
    connection.execute(update(delivery).where(*waits).values(next_at=now, changed=now))


def _failures(connection: Connection, sink: str) -> int:
    found = select(endpoint.c.failures).where(endpoint.c.sink == sink)
    return connection.scalar(found) or 0


def _end_leases(connection: Connection, sink: str, now: float) -> None:
    """What a relay that died had claimed is anyone's again; and where the clock was set back, what
    waits is due at once."""
    over = or_(delivery.c.lease_until <= now, delivery.c.changed > now + SKEW_S)
    again = {"state": State.PENDING, "next_at": now, "lease_until": None, "changed": now}
    connection.execute(update(delivery).where(*_inflight(sink), over).values(again))
    waits = delivery.c.state == State.PENDING, delivery.c.changed > now + SKEW_S
    connection.execute(update(delivery).where(*waits).values(next_at=now, changed=now))


def _set(connection: Connection, rows: list[dict[str, Any]], *states: State) -> None:
    """Update deliveries named by ``b_event`` and ``b_sink``, if they are in one of the states."""
    if rows:
        allowed = or_(*(delivery.c.state == state for state in states))
        named = delivery.c.event_id == bindparam("b_event"), delivery.c.sink == bindparam("b_sink")
        connection.execute(update(delivery).where(*named, allowed), rows)
