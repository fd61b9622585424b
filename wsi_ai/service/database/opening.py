"""The one database of a service, with the tables of this version."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, func, insert, inspect, select

from wsi_ai.delivery.outbox import open_database
from wsi_ai.delivery.outbox.tables import READING, alone, open_existing_database, translated
from wsi_ai.errors import OutputError
from wsi_ai.service.database.tables import META, schema_version
from wsi_ai.service.jobs import make_job_table

NEWEST = 1
"""The version of the tables that this program works with."""


def open_service_database(url: str) -> Engine:
    """Made where it is not there.  ``url`` is SQLAlchemy's, or a path for SQLite.

    Raises OutputError, also where another version of the program made the tables.
    """
    engine = open_database(url)
    make_job_table(engine)
    with translated():
        _make_tables(engine)
        check_version(engine)
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


def version_of(engine: Engine) -> int:
    """Of the tables that are there; 0 where there are none.  Raises OutputError."""
    with translated(), engine.connect().execution_options(**READING) as connection:
        if not inspect(connection).has_table(schema_version.name):
            return 0
        return connection.scalar(select(func.max(schema_version.c.version))) or 0


def check_version(engine: Engine) -> None:
    """Raises OutputError where the tables are not of this version."""
    there = version_of(engine)
    if there > NEWEST:
        raise OutputError(
            f"the database is of a newer wsi_ai (tables {there}, this one knows {NEWEST}):"
            " use that version"
        )
    if there < NEWEST:
        raise OutputError(
            f"the database is of an older wsi_ai (tables {there} of {NEWEST}): stop every wsi-ai"
            " process, make a backup, then: wsi-ai database upgrade"
        )


def _make_tables(engine: Engine) -> None:
    """Where there are none at all; those of another version are left alone."""
    with engine.begin() as connection:
        alone(connection, "tables")
        if inspect(connection).has_table(schema_version.name):
            return
        there = set(inspect(connection).get_table_names())
        if foreign := sorted(there & META.tables.keys()):
            raise OutputError(
                f"the database has a table {foreign[0]} that is not ours; give wsi_ai a database"
                " or schema of its own"
            )
        META.create_all(connection)
        connection.execute(insert(schema_version).values(version=NEWEST, at=time.time()))
