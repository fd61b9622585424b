"""``wsi-ai database``."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.wording import counted
from wsi_ai.delivery.outbox.database import open_existing_database
from wsi_ai.errors import InputError, OutputError
from wsi_ai.service.database.copying import backup, copy
from wsi_ai.service.database.opening import (
    SCHEMA,
    everything,
    open_service_database,
    version_of,
)


@exit_on_error
def upgrade(database: str) -> int:
    with _there(database) as engine:
        made = SCHEMA.upgrade(engine, time.time())
    say(f"tables of version {SCHEMA.newest}; {counted(len(made), 'step')} made")
    return Exit.OK


@exit_on_error
def check(database: str) -> int:
    with _there(database) as engine:
        there = version_of(engine)
        say(f"tables of version {there}; this program works with {SCHEMA.newest}")
        SCHEMA.check(engine)
    return Exit.OK


@exit_on_error
def make_backup(database: str, file: Path) -> int:
    with _there(database) as source:
        SCHEMA.check(source)
        say(_copied(backup(source, file, _made, everything()), "kept"))
    return Exit.OK


@exit_on_error
def restore(file: Path, database: str) -> int:
    if not file.is_file():
        raise InputError(f"{file.name} is no backup: there is no such file")
    if "://" not in database and Path(database).exists():
        raise OutputError("the database to restore is there already: name a new one")
    with _there(str(file)) as source:
        SCHEMA.check(source)
        target = _made(database)
        try:
            say(_copied(copy(source, target, everything()), "restored"))
        finally:
            target.dispose()
    return Exit.OK


@contextmanager
def _there(url: str) -> Iterator[Engine]:
    engine = open_existing_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _made(url: str) -> Engine:
    return open_service_database(url)


def _copied(rows: Mapping[str, int], what: str) -> str:
    full = sum(1 for count in rows.values() if count)
    return f"{counted(sum(rows.values()), 'row')} of {counted(full, 'table')} {what}"
