"""A backup holds everything, and what is restored from it goes on."""

import stat
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, create_engine, insert, select
from typer.testing import CliRunner

from tests.delivery.conftest import FakeClock
from tests.service.conftest import asked
from wsi_ai.cli import app
from wsi_ai.errors import OutputError
from wsi_ai.service import changes
from wsi_ai.service.changes import What
from wsi_ai.service.database.copying import backup, copy
from wsi_ai.service.database.opening import everything, open_service_database
from wsi_ai.service.database.tables import token
from wsi_ai.service.queue import Queue

ODD = "é\u2028'\"\\ 𝄞"


def made(url: str) -> Engine:
    return open_service_database(url)


def rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for one in everything()
            for table in one.sorted_tables
        }


@pytest.fixture
def full(database: str, clock: FakeClock) -> Iterator[Engine]:
    engine = made(database)
    queue = Queue(engine, clock, Random(1))
    queue.submit(asked(ODD.replace("/", "")))
    queue.submit(asked("b"))
    queue.claim("w")
    with engine.begin() as connection:
        changes.note(connection, What.JOB, "j", 7.0, ("RXX", None))
        values = [{"sha256": f"{k:04}", "name": f"{ODD}{k}", "made": 0.1 + k} for k in range(1203)]
        connection.execute(insert(token), values)
    yield engine
    engine.dispose()


def test_what_comes_back_is_what_was_there_and_goes_on(
    full: Engine, tmp_path: Path, clock: FakeClock
) -> None:
    backup(full, tmp_path / "b.db", made, everything())
    kept = made(str(tmp_path / "b.db"))
    assert rows(kept) == rows(full)
    again = made(str(tmp_path / "again.db"))
    copy(kept, again, everything())
    assert rows(again) == rows(full)
    assert Queue(again, clock, Random(1)).claim("w2") is not None


def test_a_backup_is_one_file_that_its_owner_alone_may_read(full: Engine, tmp_path: Path) -> None:
    backup(full, tmp_path / "b.db", made, everything())
    assert [path.name for path in tmp_path.iterdir() if "b.db" in path.name] == ["b.db"]
    assert stat.S_IMODE((tmp_path / "b.db").stat().st_mode) == 0o600


def test_no_backup_and_no_database_is_written_over(full: Engine, tmp_path: Path) -> None:
    backup(full, tmp_path / "b.db", made, everything())
    with pytest.raises(OutputError, match="is there already"):
        backup(full, tmp_path / "b.db", made, everything())
    with pytest.raises(OutputError, match="is not empty"):
        copy(full, full, everything())


def test_numbers_that_the_database_gives_go_on_behind_those_that_came(postgres_url: str) -> None:
    """PostgreSQL would begin anew at 1."""
    meta = MetaData()
    table = Table("wsi_ai_n", meta, Column("n", Integer, primary_key=True), Column("a", Text))
    source, target = create_engine("sqlite://"), create_engine(postgres_url)
    for engine in (source, target):
        meta.drop_all(engine)
        meta.create_all(engine)
    with source.begin() as connection:
        connection.execute(insert(table), [{"a": "x"}, {"a": "y"}])
    copy(source, target, [meta])
    with target.begin() as connection:
        assert connection.execute(insert(table).values(a="z")).inserted_primary_key == (3,)
    target.dispose()
    source.dispose()


def test_the_two_commands(full: Engine, database: str, tmp_path: Path) -> None:
    def done(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["database", *words])
        return result.exit_code, result.output

    full.dispose()
    code, said = done("backup", "--outbox", database, str(tmp_path / "b.db"))
    assert code == 0, said
    assert "kept" in said
    code, said = done("restore", str(tmp_path / "b.db"), "--outbox", str(tmp_path / "new.db"))
    assert code == 0, said
    assert "restored" in said
    code, said = done("restore", str(tmp_path / "b.db"), "--outbox", str(tmp_path / "new.db"))
    assert code == 2
    assert done("check", "--outbox", str(tmp_path / "new.db"))[0] == 0
    assert done("upgrade", "--outbox", str(tmp_path / "none.db"))[0] == 2
