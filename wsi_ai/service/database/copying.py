"""A whole database into another one: a backup, the way back, and the move to another server.

Rows go as the tables have them, from one moment of the one to the other, which was empty.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, Table, func, insert, inspect, select

from wsi_ai.delivery.outbox.database import READING, translated
from wsi_ai.delivery.outbox.tables import about
from wsi_ai.errors import OutputError
from wsi_ai.service.database.tables import schema_version

_ROWS = 500
_MADE_WITH_IT = frozenset({about.name, schema_version.name})
"""What a database that was just made has in it."""


def copy(source: Engine, target: Engine, tables: Sequence[MetaData]) -> dict[str, int]:
    """All or nothing.  ``target`` has the tables, and nothing in them.  Returns the number of rows
    by table.  Raises OutputError."""
    every = [table for one in tables for table in one.sorted_tables]
    copied = dict.fromkeys((table.name for table in every), 0)
    with translated(), _one_moment(source) as reading, target.begin() as writing:
        _check_empty(writing, every)
        there = set(inspect(reading).get_table_names())
        for table in every:
            if table.name in there:
                copied[table.name] = _copy(table, reading, writing)
    return copied


def backup(
    source: Engine, file: Path, make: Callable[[str], Engine], tables: Sequence[MetaData]
) -> dict[str, int]:
    """Into a new SQLite file, for its owner's eyes only; a crash leaves none.  ``make`` opens a
    database with its tables.  Raises OutputError where the file is there."""
    if file.exists():
        raise OutputError(f"{file.name} is there already: a backup is a new file")
    aside = file.with_name(f".{file.name}.part")
    _remove(aside)
    with contextlib.ExitStack() as failed:
        failed.callback(_remove, aside)
        engine = make(str(aside))
        try:
            copied = copy(source, engine, tables)
            _settle(engine)
        finally:
            engine.dispose()
        os.replace(aside, file)
        failed.pop_all()
    return copied


def _copy(table: Table, reading: Connection, writing: Connection) -> int:
    writing.execute(table.delete())  # of what was made with it
    copied = 0
    found = reading.execution_options(yield_per=_ROWS).execute(select(table))
    for rows in found.mappings().partitions(_ROWS):
        writing.execute(insert(table), [dict(row) for row in rows])
        copied += len(rows)
    if writing.dialect.name == "postgresql" and copied:
        _count_on(table, writing)
    return copied


def _count_on(table: Table, writing: Connection) -> None:
    """PostgreSQL's own numbers go on behind those that were copied."""
    column = table.autoincrement_column
    if column is None or column.autoincrement is False:
        return
    sequence = writing.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
    if sequence is not None:
        writing.execute(select(func.setval(sequence, select(func.max(column)).scalar_subquery())))


def _settle(engine: Engine) -> None:
    """Everything is in the one file, and on the disk."""
    with translated(), engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE")


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).unlink()


@contextlib.contextmanager
def _one_moment(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        reading = connection.execution_options(**READING)
        if engine.dialect.name == "postgresql":
            reading = reading.execution_options(isolation_level="REPEATABLE READ")
        yield reading


def _check_empty(connection: Connection, every: Sequence[Table]) -> None:
    for table in every:
        if table.name not in _MADE_WITH_IT and connection.execute(select(table).limit(1)).first():
            raise OutputError("the database to copy to is not empty")
