"""The database of an outbox, SQLite or PostgreSQL: how it is opened, read and written."""

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy import event as listeners
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from wsi_ai.delivery.outbox.tables import META, about, event
from wsi_ai.errors import OutputError

_BUSY_S = 30.0
_STANDING_S = 30.0
IN_MEMORY = ":memory:"
_READS = "wsi_ai_reads"
READING: Mapping[str, Any] = {_READS: True}
"""Options of a connection that only reads: on SQLite, it then waits for no writer."""

_ID = "id"


def open_database(url: str) -> Engine:
    """The database, with its tables; made where it is not there.  ``url`` is SQLAlchemy's, or a
    path for SQLite.

    Raises OutputError.
    """
    with translated():
        engine = connect(url)
        if engine.dialect.name == "sqlite":
            make_private(engine.url.database)
        _make_tables(engine)
    return engine


def open_existing_database(url: str) -> Engine:
    """The same, of a database that is an outbox already: nothing is made in place of a mistyped
    one.  Raises OutputError."""
    with translated():
        engine = connect(url)
        path = engine.url.database or ""
        lite = engine.dialect.name == "sqlite"
        if (lite and not Path(path).is_file()) or not inspect(engine).has_table(event.name):
            engine.dispose()
            raise OutputError("there is no outbox there; wsi-ai outbox init makes one")
        _make_tables(engine)
    return engine


def connect(url: str) -> Engine:
    """With transactions as every table of ours wants them, and no tables yet."""
    where = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    if where.drivername == "postgresql":
        where = where.set(drivername="postgresql+psycopg")
    lite = where.get_backend_name() == "sqlite"
    if where.database == IN_MEMORY:
        engine = _in_memory(where)
    else:
        options = {"timeout": _BUSY_S} if lite else {}
        engine = create_engine(where, connect_args=options, hide_parameters=True)
    if lite:
        listeners.listen(engine, "connect", _set_up_sqlite)
        listeners.listen(engine, "begin", _begin_at_once)
    else:
        listeners.listen(engine, "connect", _set_up_postgres)
    return engine


def _in_memory(where: URL) -> Engine:
    """One connection, which is a thread's alone while it has it."""
    return create_engine(
        where,
        connect_args={"check_same_thread": False},
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
    )


def _make_tables(engine: Engine) -> None:
    """All that an outbox of an earlier version lacks, too."""
    with engine.begin() as connection:
        alone(connection, "tables")
        META.create_all(connection)
        there = inspect(connection)
        for table in META.sorted_tables:
            known = {index["name"] for index in there.get_indexes(table.name)}
            for index in table.indexes:
                if index.name not in known:
                    index.create(connection)
        if not identity(connection):
            connection.execute(insert(about).values(name=_ID, value=uuid.uuid4().hex))


def identity(connection: Connection) -> str:
    """Of the outbox; nothing where it is being made."""
    return connection.scalar(select(about.c.value).where(about.c.name == _ID)) or ""


def alone(connection: Connection, about: str) -> None:
    """Until this transaction ends, no other one gets past here about the same thing.  On SQLite
    there is only one at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(about, 0))))


@contextmanager
def translated(what: str = "outbox") -> Iterator[None]:
    """The database's errors as ours.  The driver's own text may quote what was being stored, so
    only its kind is told."""
    try:
        yield
    except DBAPIError as error:
        kind = type(error.orig).__name__
        told = getattr(error.orig, "sqlite_errorname", kind)
        raise OutputError(f"the {what} refused: {told}; look at its disk and its server") from None
    except sqlite3.DatabaseError as error:
        raise OutputError(
            f"the {what} refused: {error.sqlite_errorname}; look at its disk"
        ) from None
    except (SQLAlchemyError, ModuleNotFoundError, OverflowError, UnicodeDecodeError) as error:
        raise OutputError(f"the {what} cannot be used: {type(error).__name__}") from None


@contextmanager
def reading(engine: Engine, what: str = "outbox") -> Iterator[Connection]:
    """A connection that only reads; ``what`` as for ``translated``.  Raises OutputError."""
    with translated(what), engine.connect() as connection:
        yield connection.execution_options(**READING)


def make_private(path: str | None) -> None:
    """For its owner's eyes only: the flags in it name cases.  SQLite's side files follow suit."""
    if path and path != IN_MEMORY:
        with contextlib.suppress(OSError):  # SQLite says it better
            Path(path).touch(0o600)


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _set_up_postgres(connection: Any, _: Any) -> None:
    """A machine that stands still in the middle of a transaction, as a paused one does, holds up
    nobody for longer than that: the server ends it."""
    connection.execute(f"SET idle_in_transaction_session_timeout = '{_STANDING_S:.0f}s'")
    connection.commit()


def _begin_at_once(connection: Connection) -> None:
    """Take SQLite's write lock at the start: to take it later can fail however long one waits."""
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
