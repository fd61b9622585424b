"""Is the outbox what was written?  Reads all of it, changes nothing."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from wsi_ai.delivery.outbox.outbox import Outbox
from wsi_ai.delivery.outbox.retention import PURGED
from wsi_ai.delivery.outbox.revisions import flag_from
from wsi_ai.delivery.outbox.states import OPEN, RANKS, State
from wsi_ai.delivery.outbox.tables import delivery, event

_PAGE = 500
_LONGEST_WAIT_S = 86_400.0
"""No delivery is put off or leased for longer."""


def stuck(outbox: Outbox) -> list[str]:
    """What of the file and of deliveries nobody would ever come upon."""
    with outbox.reading() as connection:
        return [*damage(connection), *(name for name, _ in stuck_deliveries(connection))]


def all_wrong(outbox: Outbox) -> Iterator[str]:
    """All that is not what was written, in words that name no slide and no case."""
    with outbox.reading() as connection:
        yield from damage(connection)
        for found in (spoiled_events(connection), stuck_deliveries(connection)):
            yield from (f"{name}: {what}" for name, what in found)


def spoiled_events(connection: Connection) -> Iterator[tuple[str, str]]:
    """The id of each event that is not what was kept, and what is wrong."""
    after = ""
    while True:
        page = select(event).where(event.c.event_id > after).order_by(event.c.event_id)
        rows = connection.execute(page.limit(_PAGE)).all()
        for row in rows:
            try:
                flag_from(row)
            except (ValueError, KeyError, TypeError) as error:
                yield str(row.event_id), str(error)
        if not rows:
            return
        after = rows[-1].event_id


def stuck_deliveries(connection: Connection) -> list[tuple[str, str]]:
    """Deliveries that would never be made, and events that have none: nothing that a relay did."""
    joined = delivery.outerjoin(event, event.c.event_id == delivery.c.event_id)
    wrong = select(delivery.c.event_id).select_from(joined).where(or_(*_impossible()))
    bare = (
        select(event.c.event_id)
        .outerjoin(delivery, delivery.c.event_id == event.c.event_id)
        .where(delivery.c.event_id.is_(None))
    )
    return [
        *((str(name), "a delivery of it cannot be made") for name in connection.scalars(wrong)),
        *((str(name), "no delivery of it is known") for name in connection.scalars(bare)),
    ]


def damage(connection: Connection) -> list[str]:
    """What SQLite itself finds wrong with its file; PostgreSQL keeps that to itself."""
    if connection.dialect.name != "sqlite":
        return []
    told: list[Any] = list(connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars())
    return [str(line) for line in told if line != "ok"]


def _impossible() -> list[ColumnElement[bool]]:
    """Each is true of no delivery that we wrote."""
    last = delivery.c.changed + _LONGEST_WAIT_S
    put_off = or_(delivery.c.next_at > last, delivery.c.next_at.is_(None))
    leased = or_(delivery.c.lease_until > last, delivery.c.lease_until.is_(None))
    return [
        delivery.c.state.not_in(list(State)),
        and_(delivery.c.state.in_(OPEN), delivery.c.rank.not_in(RANKS)),
        and_(delivery.c.state == State.PENDING, put_off),
        and_(delivery.c.state == State.INFLIGHT, leased),
        and_(delivery.c.state.in_((*OPEN, State.DEAD)), event.c.body == PURGED),
        event.c.event_id.is_(None),
        event.c.flag_id != delivery.c.flag_id,
        event.c.revision != delivery.c.revision,
    ]
