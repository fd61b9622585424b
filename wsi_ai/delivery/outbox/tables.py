"""The outbox's tables, on SQLite or PostgreSQL."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    func,
    make_url,
    select,
)
from sqlalchemy import event as listeners
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from wsi_ai.errors import OutputError

_BUSY_S = 30.0
_READS = "wsi_ai_reads"
READING: Mapping[str, Any] = {_READS: True}
"""Options of a connection that only reads: on SQLite, it then waits for no writer."""

_META = MetaData()

event = Table(
    "event",
    _META,
    Column("event_id", Text, primary_key=True),
    Column("flag_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("trust", Text),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("answer_sha256", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("flag_id", "revision"),
    Index("event_model", "model_name", "model_version"),
)
"""One revision of one flag, as it is sent.  Never changed."""

delivery = Table(
    "delivery",
    _META,
    Column("event_id", Text, primary_key=True),
    Column("sink", Text, primary_key=True),
    Column("flag_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Float, nullable=False),
    Column("lease_until", Float),
    Column("changed", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("last_code", Integer),
    Column("last_error", Text),
    Column("reference", Text),
    Column("alarmed", Boolean, nullable=False, default=False),
    Index("delivery_due", "sink", "state", "rank", "next_at"),
    Index("delivery_order", "flag_id", "sink", "revision"),
)
"""How far an event has come at one sink.  ``rank`` 0 goes first; ``changed`` is when the row was
last decided on, so that a clock that was set back is noticed."""

endpoint = Table(
    "endpoint",
    _META,
    Column("sink", Text, primary_key=True),
    Column("paused_until", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("why", Text),
)
"""Sinks that failed lately as a whole."""


def open_database(url: str) -> Engine:
    """The database, with its tables.  ``url`` is SQLAlchemy's, or a path for SQLite.

    Raises OutputError.
    """
    with translated():
        where = make_url(url) if "://" in url else URL.create("sqlite", database=url)
        if where.drivername == "postgresql":
            where = where.set(drivername="postgresql+psycopg")
        lite = where.get_backend_name() == "sqlite"
        options = {"timeout": _BUSY_S} if lite else {}
        engine = create_engine(where, connect_args=options, hide_parameters=True)
        if lite:
            _make_private(where.database)
            listeners.listen(engine, "connect", _set_up_sqlite)
            listeners.listen(engine, "begin", _begin_at_once)
        with engine.begin() as connection:
            alone(connection, "tables")
            _META.create_all(connection)
    return engine


def alone(connection: Connection, about: str) -> None:
    """Until this transaction ends, no other one gets past here about the same thing.  On SQLite
    there is only one at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(about, 0))))


@contextmanager
def translated() -> Iterator[None]:
    """The database's errors as ours.  The driver's own text may quote what was being stored, so
    only its kind is told."""
    try:
        yield
    except DBAPIError as error:
        kind = type(error.orig).__name__
        told = getattr(error.orig, "sqlite_errorname", kind)
        raise OutputError(f"the outbox refused: {told}; look at its disk and its server") from None
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise OutputError(f"the outbox cannot be used: {type(error).__name__}") from None


def _make_private(path: str | None) -> None:
    """For its owner's eyes only: the flags in it name cases.  SQLite's side files follow suit."""
    if path:
        with contextlib.suppress(OSError):  # SQLite says it better
            Path(path).touch(0o600)


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_at_once(connection: Connection) -> None:
    """Take SQLite's write lock at the start: to take it later can fail however long one waits."""
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
