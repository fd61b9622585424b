"""Databases with their tables, as one that makes them leaves an empty one, but made once a session.

A file is copied.  PostgreSQL's tables wait, without their rows, in a schema of another name.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine

from wsi_ai.delivery.outbox.database import connect

Make = Callable[[str], Engine]
_FILES: dict[Make, bytes] = {}
_KEPT: dict[tuple[str, Make], "_Kept"] = {}
_COLUMNS = """SELECT md5(string_agg(concat_ws(' ', relname, relkind, attname, atttypid, attnotnull),
    ',' ORDER BY relname, attnum)) FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_COUNTERS = """SELECT setval(format('public.%I', sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE schemaname = 'public'"""


@contextmanager
def prepared(url: str, make: Make) -> Iterator[Engine]:
    """As ``make(url)`` of a database in which nothing is."""
    kept = None
    if "://" not in url:
        _copy(Path(url), make)
    else:
        kept = _KEPT.setdefault((url, make), _Kept(url, f"kept_{len(_KEPT)}"))
        kept.bring_in(make)
    engine = connect(url)
    try:
        yield engine
    finally:
        engine.dispose()
        if kept is not None:
            kept.put_aside()


def _copy(path: Path, make: Make) -> None:
    if make in _FILES:
        path.touch(0o600)
        path.write_bytes(_FILES[make])
    else:
        make(str(path)).dispose()
        _FILES[make] = path.read_bytes()


@dataclass
class _Kept:
    url: str
    schema: str
    columns: str = ""
    tables: list[str] = field(default_factory=list)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    aside: bool = False

    def bring_in(self, make: Make) -> None:
        if self.aside:
            with psycopg.connect(self.url) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute(f'ALTER SCHEMA "{self.schema}" RENAME TO public')
            self.aside = False
            return
        make(self.url).dispose()
        with psycopg.connect(self.url) as connection:
            self.columns = _one(connection, _COLUMNS)
            self.tables = [name for (name,) in connection.execute(_TABLES)]
            found = {name: connection.execute(f'TABLE "{name}"').fetchall() for name in self.tables}
            self.rows = {name: rows for name, rows in found.items() if rows}

    def put_aside(self) -> None:
        """Unless the test has changed the tables themselves, or somebody still holds them."""
        gone = contextlib.suppress(psycopg.errors.LockNotAvailable)
        with gone, psycopg.connect(self.url) as connection:
            connection.execute("SET LOCAL lock_timeout = '5s'")
            if _one(connection, _COLUMNS) != self.columns:
                return
            connection.execute("SET LOCAL session_replication_role = replica")  # in any order
            connection.execute("; ".join(f'DELETE FROM "{name}"' for name in self.tables))
            connection.execute(_COUNTERS)
            for name, rows in self.rows.items():
                places = ", ".join(["%s"] * len(rows[0]))
                connection.cursor().executemany(f'INSERT INTO "{name}" VALUES ({places})', rows)
            connection.execute(f'ALTER SCHEMA public RENAME TO "{self.schema}"')
            connection.execute("CREATE SCHEMA public")
            connection.commit()
            self.aside = True


def _one(connection: psycopg.Connection[Any], query: str) -> str:
    (found,) = connection.execute(query).fetchone() or ("",)
    return str(found)
