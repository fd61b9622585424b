"""Looking into the outbox, and setting things right by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    literal,
    select,
    tuple_,
    update,
)

from wsi_ai.delivery.heartbeat import Backlog
from wsi_ai.delivery.messages import Held, Kind
from wsi_ai.delivery.outbox.retention import PURGED
from wsi_ai.delivery.outbox.states import NO_SINK, OPEN, State
from wsi_ai.delivery.outbox.tables import delivery, endpoint, event
from wsi_ai.delivery.outbox.unrouted import unrouted
from wsi_ai.errors import OutputError


@dataclass(frozen=True, slots=True)
class Line:
    """One delivery, as a person sees it.  Names no slide and no case."""

    event_id: str
    sink: str
    flag_id: str
    revision: int
    kind: str
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
    elsewhere: bool
    """It holds another answer under the same revision or a higher one: from another outbox."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of lines ends."""

    created: float
    revision: int
    event_id: str
    sink: str


MOST_LINES = 100


def lines(
    connection: Connection, states: Sequence[State], since: float, after: Place | None
) -> list[Line]:
    """Deliveries in these states of events made since then, the oldest first: at most
    ``MOST_LINES``, those behind ``after``."""
    found = [row for state in states for row in connection.execute(_page(state, since, after))]
    found.sort(key=lambda row: (row.created, row.revision, row.event_id, row.sink))
    return [line_from(row) for row in found[:MOST_LINES]]


def place_of(line: Line) -> Place:
    return Place(line.created, line.revision, line.event_id, line.sink)


def _page(state: State, since: float, after: Place | None) -> Select[Any]:
    order = delivery.c.created, delivery.c.revision, delivery.c.event_id, delivery.c.sink
    page = select(*order).where(delivery.c.state == state, delivery.c.created >= since)
    if after is not None:
        here = literal(after.created), after.revision, after.event_id, after.sink
        page = page.where(delivery.c.created >= after.created, tuple_(*order) > tuple_(*here))
    keys = page.order_by(*order).limit(MOST_LINES).subquery()
    key = delivery.c.event_id == keys.c.event_id, delivery.c.sink == keys.c.sink
    columns = event.c.kind, event.c.level, event.c.trust
    joined = keys.join(delivery, and_(*key)).outerjoin(
        event, event.c.event_id == delivery.c.event_id
    )
    return select(delivery, *columns).select_from(joined)


def count(connection: Connection, states: Sequence[State]) -> int:
    wanted = select(func.count()).select_from(delivery).where(delivery.c.state.in_(states))
    return connection.scalar(wanted) or 0


def backlog(connection: Connection, sink: str, elsewhere: int) -> Backlog:
    """What a sink has not got; each from its own index."""
    here = delivery.c.sink == sink
    counted = select(func.count()).select_from(delivery).where(here)
    created = select(delivery.c.created).where(here).limit(1)
    first, last = delivery.c.created, delivery.c.created.desc()
    oldest = [connection.scalar(created.where(delivery.c.state == s).order_by(first)) for s in OPEN]
    newest = [connection.scalar(created.where(delivery.c.state == s).order_by(last)) for s in State]
    return Backlog(
        connection.scalar(counted.where(delivery.c.state.in_(OPEN))) or 0,
        connection.scalar(counted.where(delivery.c.state == State.DEAD)) or 0,
        min((at for at in oldest if at is not None), default=None),
        max((at for at in newest if at is not None), default=None),
        elsewhere,
        unrouted(connection),
    )


def newest_events(connection: Connection, after: str, most: int) -> list[Any]:
    """The newest revision of each flag whose id is behind ``after``, as rows of ``event``."""
    wanted = select(event).where(event.c.flag_id > after, is_newest())
    return list(connection.execute(wanted.order_by(event.c.flag_id).limit(most)).all())


def is_newest() -> ColumnElement[bool]:
    newer = event.alias("newer")
    return ~exists().where(newer.c.flag_id == event.c.flag_id, newer.c.revision > event.c.revision)


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


MOST_ALARMS = 500


def take_alarms(connection: Connection, after_s: float, now: float) -> list[Line]:
    """Urgent flags that are late, or dead; each is told once, at most ``MOST_ALARMS`` at once."""
    due = delivery.c.rank == 0, ~delivery.c.alarmed
    late = delivery.c.created <= now - after_s
    found: list[Any] = []
    for state in (State.DEAD, *OPEN):
        wanted = (
            select(delivery, event.c.kind, event.c.level, event.c.trust)
            .outerjoin(event, event.c.event_id == delivery.c.event_id)
            .where(*due, delivery.c.state == state, *([late] if state in OPEN else []))
            .order_by(delivery.c.created)
            .limit(MOST_ALARMS - len(found))
        )
        found += connection.execute(wanted).all()
    told = [{"b_event": row.event_id, "b_sink": row.sink} for row in found]
    if told:
        named = delivery.c.event_id == bindparam("b_event"), delivery.c.sink == bindparam("b_sink")
        connection.execute(update(delivery).where(*named).values(alarmed=True), told)
    return [line_from(row) for row in found]


def mismatches(connection: Connection, sink: str, held: Mapping[str, Held]) -> list[Mismatch]:
    """The newest delivered revision of each flag, against what the receiver holds: the same event,
    or at least the same answer."""
    wanted = (
        select(
            event.c.event_id, event.c.flag_id, event.c.revision, event.c.answer_sha256, event.c.kind
        )
        .join(delivery, delivery.c.event_id == event.c.event_id)
        .where(delivery.c.sink == sink, delivery.c.state == State.DELIVERED)
        .order_by(event.c.revision)
    )
    sent = {row.flag_id: row for row in connection.execute(wanted)}
    return [
        _mismatch(row, held.get(flag_id))
        for flag_id, row in sent.items()
        if not _is_held(row, held.get(flag_id))
    ]


def _is_held(row: Any, held: Held | None) -> bool:
    if held is None:
        return False
    if not held.event_id:  # a receiver of an earlier version
        return bool(held.revision == row.revision)
    retracted = bool(row.kind == Kind.RETRACTED)
    return bool(held.event_id == row.event_id) or held.says(row.answer_sha256, retracted=retracted)


def _mismatch(row: Any, held: Held | None) -> Mismatch:
    revision = held.revision if held else None
    elsewhere = held is not None and bool(held.event_id) and held.revision >= row.revision
    return Mismatch(row.event_id, row.flag_id, row.revision, revision, elsewhere)


def line_from(row: Any) -> Line:
    return Line(
        event_id=row.event_id,
        sink=row.sink,
        flag_id=row.flag_id,
        revision=row.revision,
        kind=row.kind or "?",
        level=row.level or "?",
        trust=row.trust,
        state=State(row.state),
        attempts=row.attempts,
        created=row.created,
        next_at=row.next_at,
        told=row.last_error,
    )
