"""The one database of a service, with the tables of this version.

Where there is none yet, it is made.  One of an older version is changed by ``wsi-ai database
upgrade`` alone, when nobody works with it; one of a newer version is left alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, MetaData, func, insert, inspect, select

from wsi_ai.delivery.outbox import open_database
from wsi_ai.delivery.outbox.database import alone, open_existing_database, reading, translated
from wsi_ai.delivery.outbox.tables import event as outbox_event
from wsi_ai.delivery.receiver.inbox import make_inbox_tables
from wsi_ai.delivery.receiver.tables import META as INBOX
from wsi_ai.errors import OutputError
from wsi_ai.service.database.tables import META, schema_version
from wsi_ai.service.jobs import job, make_job_table
from wsi_ai.service.unrouted import count_unrouted

Step = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """What the tables are, and how those of each earlier version become these."""

    tables: tuple[MetaData, ...]
    steps: tuple[Step, ...]
    """The first makes version 1 of whatever was there before versions were written down."""

    @property
    def newest(self) -> int:
        return len(self.steps)

    def make(self, engine: Engine, at: float) -> None:
        """Where none of them is there.  Raises OutputError where the database has other tables of
        the same names, or those of another version."""
        with translated(), engine.begin() as connection:
            alone(connection, "tables")
            if not _has(connection, schema_version.name):
                self._check_free(connection)
                for one in self.tables:
                    one.create_all(connection)
                _write_down(connection, range(1, self.newest + 1), at)
        self.check(engine)

    def check(self, engine: Engine) -> None:
        """Raises OutputError where they are not of this version."""
        there = version_of(engine)
        if there > self.newest:
            raise OutputError(
                f"the database is of a newer wsi_ai (tables {there}, this one knows"
                f" {self.newest}): use that version"
            )
        if there < self.newest:
            raise OutputError(
                f"the database is of an older wsi_ai (tables {there} of {self.newest}): stop every"
                " wsi-ai process, make a backup, then: wsi-ai database upgrade"
            )

    def upgrade(self, engine: Engine, at: float) -> Sequence[int]:
        """Every step that is missing, each whole or not at all.  Returns their numbers.  Raises
        OutputError."""
        made = list[int]()
        for number in range(version_of(engine) + 1, self.newest + 1):
            with translated(), engine.begin() as connection:
                alone(connection, "tables")
                if _version(connection) < number:
                    self.steps[number - 1](connection)
                    _write_down(connection, [number], at)
                    made.append(number)
        self.check(engine)
        return made

    def _check_free(self, connection: Connection) -> None:
        """Raises OutputError where a table of another program has one of our names."""
        there = set(inspect(connection).get_table_names())
        names = [name for one in self.tables for name in one.tables]
        for name in names:
            if name in there:
                raise OutputError(
                    f"the database has a table {name} that is not ours; give wsi_ai a database or"
                    " schema of its own"
                )


def version_of(engine: Engine) -> int:
    """Of the tables that are there; 0 where it is not written down.  Raises OutputError."""
    with reading(engine) as connection:
        return _version(connection)


def _version(connection: Connection) -> int:
    if not _has(connection, schema_version.name):
        return 0
    return connection.scalar(select(func.max(schema_version.c.version))) or 0


def _has(connection: Connection, name: str) -> bool:
    return inspect(connection).has_table(name)


def _write_down(connection: Connection, numbers: Sequence[int], at: float) -> None:
    connection.execute(insert(schema_version), [{"version": n, "at": at} for n in numbers])


def _first(connection: Connection) -> None:
    META.create_all(connection)


SCHEMA = Schema((META,), (_first,))


def open_service_database(url: str) -> Engine:
    """Made where it is not there.  ``url`` is SQLAlchemy's, or a path for SQLite.

    Raises OutputError, also where another version of the program made the tables.
    """
    engine = open_database(url)
    try:
        make_service_tables(engine)
    except OutputError:
        engine.dispose()
        raise
    return engine


@contextmanager
def existing_service_database(url: str) -> Iterator[Engine]:
    """The same, of a database that is an outbox already: nothing is made in place of a mistyped
    one.  Raises OutputError."""
    open_existing_database(url).dispose()
    engine = open_service_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def make_service_tables(engine: Engine) -> None:
    """In a database that is an outbox already; raises as ``open_service_database``."""
    make_job_table(engine)
    make_inbox_tables(engine)
    SCHEMA.make(engine, time.time())
    with translated(), engine.begin() as connection:
        count_unrouted(connection)  # a program of an earlier version counted others


def everything() -> tuple[MetaData, ...]:
    """All tables of all rooms that the database holds, for a copy of it."""
    return (outbox_event.metadata, job.metadata, INBOX, META)
