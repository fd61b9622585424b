"""New revisions are written down once they are committed: the log never tells of what was not."""

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, delete, insert, select

from wsi_ai.delivery.outbox.database import alone
from wsi_ai.delivery.outbox.tables import event, unrecorded

_AT_ONCE = 500


class DecisionLog(Protocol):
    """Where each new revision is written down, for good."""

    def check(self) -> None:
        """Raises OutputError where nothing could be written down now."""
        ...

    def record(self, rows: Sequence[Any]) -> None:
        """Write down these rows of ``event``, which are committed.  Raises OutputError."""
        ...


def note(connection: Connection, event_ids: Sequence[str]) -> None:
    """That the log is to hear of them, once this transaction is through."""
    if event_ids:
        connection.execute(insert(unrecorded), [{"event_id": name} for name in event_ids])


def write_some_down(connection: Connection, log: DecisionLog) -> bool:
    """Tell the log what it has not heard of yet, oldest first.  Returns whether there may be more.

    Killed in between, it is told twice rather than never.
    """
    alone(connection, "the log of decisions")
    wanted = select(event).where(event.c.event_id.in_(select(unrecorded.c.event_id)))
    order = event.c.created, event.c.flag_id, event.c.revision
    rows = connection.execute(wanted.order_by(*order).limit(_AT_ONCE)).all()
    if rows:
        log.record(rows)
        done = unrecorded.c.event_id.in_([row.event_id for row in rows])
        connection.execute(delete(unrecorded).where(done))
    return len(rows) == _AT_ONCE
