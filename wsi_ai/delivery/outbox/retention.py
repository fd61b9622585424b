"""What is settled need not be kept for ever: flags name cases."""

from sqlalchemy import Connection, Engine, exists, update

from wsi_ai.delivery.outbox.states import OPEN, State
from wsi_ai.delivery.outbox.tables import delivery, event, translated

PURGED = b""
"""Stands where the body was.  Ids, level, hashes and deliveries stay."""


def purge(connection: Connection, before: float) -> int:
    """Forget the content of events made before then, unless some delivery of it is still to be made
    or waits for a person.  Returns of how many."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    unsettled = exists().where(
        delivery.c.event_id == event.c.event_id, delivery.c.state.in_((*OPEN, State.DEAD))
    )
    old = event.c.created < before, event.c.body != PURGED, ~unsettled
    return connection.execute(update(event).where(*old).values(body=PURGED)).rowcount


def leave_no_copy(engine: Engine) -> None:
    """Empty SQLite's journal, which holds pages as they were; PostgreSQL vacuums by itself."""
    if engine.dialect.name == "sqlite":
        with translated():
            raw = engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                raw.close()
