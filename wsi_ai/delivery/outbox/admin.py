"""Looking into the outbox, and setting things right by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update

from wsi_ai.delivery.heartbeat import Backlog
from wsi_ai.delivery.messages import Kind
from wsi_ai.delivery.outbox.retention import PURGED
from wsi_ai.delivery.outbox.states import NO_SINK, OPEN, State
from wsi_ai.delivery.outbox.tables import delivery, endpoint, event
from wsi_ai.errors import OutputError


@dataclass(frozen=True, slots=True)
class Line:
    """One delivery, as a person sees it.  Names no slide and no case."""

    event_id: str
    sink: str
    flag_id: str
    revision: int
    kind: Kind
    level: str
    trust: str | None
    state: State
    attempts: int
    created: float
    next_at: float
    told: str | None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The receiver does not hold what it gave a receipt for."""

    event_id: str
    flag_id: str
    sent: int
    held: int | None


def lines(connection: Connection, states: Sequence[State], since: float) -> list[Line]:
    """Deliveries in these states of events made since then, the oldest first."""
    wanted = (
        select(delivery, event.c.kind, event.c.level, event.c.trust)
        .join(event, event.c.event_id == delivery.c.event_id)
        .where(delivery.c.state.in_(states), delivery.c.created >= since)
        .order_by(delivery.c.created, delivery.c.revision, delivery.c.sink)
    )
    return [_line(row) for row in connection.execute(wanted)]


def count(connection: Connection, states: Sequence[State]) -> int:
    wanted = select(func.count()).select_from(delivery).where(delivery.c.state.in_(states))
    return connection.scalar(wanted) or 0


def backlog(connection: Connection, sink: str) -> Backlog:
    """What a sink has not got."""
    here = delivery.c.sink == sink
    waits, dead = delivery.c.state.in_(OPEN), delivery.c.state == State.DEAD
    counted = select(
        func.count().filter(waits),
        func.count().filter(dead),
        func.min(delivery.c.created).filter(waits),
        func.max(delivery.c.created),
    )
    return Backlog(*connection.execute(counted.where(here)).one())


def live_of(connection: Connection, model: str, version: str) -> list[Any]:
    """The newest revisions of a model's flags that hold, as rows of ``event``."""
    return [
        row
        for row in newest_events(connection)
        if (row.model_name, row.model_version) == (model, version) and row.kind != Kind.RETRACTED
    ]


def newest_events(connection: Connection) -> list[Any]:
    """The newest revision of each flag, as rows of ``event``."""
    newer = event.alias("newer")
    is_old = exists().where(newer.c.flag_id == event.c.flag_id, newer.c.revision > event.c.revision)
    wanted = select(event).where(~is_old).order_by(event.c.created, event.c.flag_id)
    return list(connection.execute(wanted).all())


def body_of(connection: Connection, event_id: str) -> bytes | None:
    body: bytes | None = connection.scalar(select(event.c.body).where(event.c.event_id == event_id))
    return body


def is_superseded(connection: Connection, event_id: str) -> bool:
    newer = event.alias("newer")
    wanted = select(newer.c.event_id).join(event, event.c.flag_id == newer.c.flag_id)
    newest = wanted.where(event.c.event_id == event_id, newer.c.revision > event.c.revision)
    return connection.execute(newest).first() is not None


def send_again(connection: Connection, event_id: str, now: float) -> int:
    """Have settled deliveries of an event made again; the same bytes under the same id.

    Raises OutputError where a newer revision has taken its place.
    """
    if is_superseded(connection, event_id):
        raise OutputError("a newer revision has taken its place; --force sends the old one again")
    return force_again(connection, event_id, now)


def force_again(connection: Connection, event_id: str, now: float) -> int:
    """The same of any revision.  Raises OutputError where its content is purged."""
    if body_of(connection, event_id) == PURGED:
        raise OutputError("its content is purged, so it cannot be sent again")
    settled = delivery.c.state.in_([s for s in State if s not in OPEN])
    again = {"state": State.PENDING, "next_at": now, "changed": now, "alarmed": False}
    named = delivery.c.event_id == event_id
    routed = delivery.c.sink != NO_SINK
    done = connection.execute(update(delivery).where(named, settled, routed).values(again))
    return done.rowcount


def skip(connection: Connection, event_id: str, now: float) -> int:
    """Never send what of an event is not delivered."""
    left = delivery.c.state.in_((*OPEN, State.DEAD))
    done = connection.execute(
        update(delivery)
        .where(delivery.c.event_id == event_id, left)
        .values(state=State.SKIPPED, changed=now, last_error="skipped by an operator")
    )
    return done.rowcount


def hurry(connection: Connection, since: float, now: float) -> None:
    """Make all that waits due now, and leave no endpoint in peace."""
    connection.execute(delete(endpoint))
    waits = and_(delivery.c.state == State.PENDING, delivery.c.created >= since)
    connection.execute(update(delivery).where(waits).values(next_at=now, changed=now))


def take_alarms(connection: Connection, after_s: float, now: float) -> list[Line]:
    """Urgent flags that are late, or dead; each is told once."""
    late = and_(delivery.c.state.in_(OPEN), delivery.c.created <= now - after_s)
    due = and_(delivery.c.rank == 0, ~delivery.c.alarmed, or_(delivery.c.state == State.DEAD, late))
    wanted = (
        select(delivery, event.c.kind, event.c.level, event.c.trust)
        .join(event, event.c.event_id == delivery.c.event_id)
        .where(due)
    )
    found = [_line(row) for row in connection.execute(wanted).all()]
    connection.execute(update(delivery).where(due).values(alarmed=True))
    return found


def mismatches(connection: Connection, sink: str, held: Mapping[str, int]) -> list[Mismatch]:
    """The newest delivered revision of each flag, against what the receiver holds."""
    wanted = (
        select(delivery.c.event_id, delivery.c.flag_id, delivery.c.revision)
        .where(delivery.c.sink == sink, delivery.c.state == State.DELIVERED)
        .order_by(delivery.c.revision)
    )
    sent = {row.flag_id: row for row in connection.execute(wanted)}
    return [
        Mismatch(row.event_id, flag_id, row.revision, held.get(flag_id))
        for flag_id, row in sent.items()
        if held.get(flag_id) != row.revision
    ]


def _line(row: Any) -> Line:
    return Line(
        event_id=row.event_id,
        sink=row.sink,
        flag_id=row.flag_id,
        revision=row.revision,
        kind=Kind(row.kind),
        level=row.level,
        trust=row.trust,
        state=State(row.state),
        attempts=row.attempts,
        created=row.created,
        next_at=row.next_at,
        told=row.last_error,
    )
