"""What is settled need not be kept for ever: flags name cases."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, exists, update

from wsi_ai.delivery.outbox.database import translated
from wsi_ai.delivery.outbox.states import OPEN, State
from wsi_ai.delivery.outbox.tables import delivery, event
from wsi_ai.errors import OutputError, disk_errors

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


def copy_to(engine: Engine, to: Path) -> None:
    """A whole copy of an SQLite outbox that may be in use.  Raises OutputError."""
    if engine.dialect.name != "sqlite":
        raise OutputError("with a database server, its own tools make the copy: pg_dump")
    if to.exists():
        raise OutputError("there is something already; a copy never takes another file's place")
    with translated(), disk_errors():
        to.touch(0o600)
        with closing(sqlite3.connect(to)) as copy, closing(engine.raw_connection()) as raw:
            raw.driver_connection.backup(copy)  # type: ignore[union-attr]


def leave_no_copy(engine: Engine) -> None:
    """Empty SQLite's journal, which holds pages as they were; PostgreSQL vacuums by itself."""
    if engine.dialect.name == "sqlite":
        with translated():
            raw = engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                raw.close()
