"""A database is made, upgraded, and never taken for another version's or program's."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, inspect, text

from wsi_ai.delivery.outbox import open_database
from wsi_ai.delivery.outbox.tables import event
from wsi_ai.errors import OutputError
from wsi_ai.service.database import opening
from wsi_ai.service.database.opening import SCHEMA, Schema, version_of
from wsi_ai.service.database.tables import META
from wsi_ai.service.jobs import job

OTHERS = MetaData()
Table("wsi_ai_later", OTHERS, Column("a", Text, primary_key=True))


def _later(connection: Connection) -> None:
    OTHERS.create_all(connection)


def _breaks(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE half (a TEXT)"))
    raise OutputError("the disk is full")


LATER = Schema((*SCHEMA.tables, OTHERS), (*SCHEMA.steps, _later))


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


def test_a_new_one_is_made_and_opens_again(database: str) -> None:
    for _ in range(2):
        engine = opening.open_service_database(database)
        assert version_of(engine) == SCHEMA.newest
        tables = set(inspect(engine).get_table_names())
        engine.dispose()
        assert {*META.tables, job.name, event.name} <= tables


def test_an_older_one_is_refused_until_it_is_upgraded_and_then_is_the_same_as_a_new_one(
    engine: Engine,
) -> None:
    SCHEMA.make(engine, 1.0)
    with pytest.raises(OutputError, match=r"older wsi_ai .* wsi-ai database upgrade"):
        LATER.make(engine, 2.0)
    assert LATER.upgrade(engine, 2.0) == [LATER.newest]
    assert LATER.upgrade(engine, 3.0) == []
    LATER.check(engine)


def test_a_newer_one_is_left_alone(engine: Engine) -> None:
    LATER.make(engine, 1.0)
    with pytest.raises(OutputError, match="newer wsi_ai"):
        SCHEMA.make(engine, 2.0)
    with pytest.raises(OutputError, match="newer wsi_ai"):
        SCHEMA.upgrade(engine, 2.0)


def test_a_step_that_fails_leaves_nothing_behind_and_can_be_made_again(engine: Engine) -> None:
    SCHEMA.make(engine, 1.0)
    with pytest.raises(OutputError, match="disk is full"):
        Schema(SCHEMA.tables, (*SCHEMA.steps, _breaks)).upgrade(engine, 2.0)
    assert not inspect(engine).has_table("half")
    assert version_of(engine) == SCHEMA.newest
    assert LATER.upgrade(engine, 3.0) == [LATER.newest]


def test_a_table_of_another_program_is_not_taken_for_ours(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE wsi_ai_worker (name TEXT)"))
    with pytest.raises(OutputError, match="wsi_ai_worker that is not ours"):
        SCHEMA.make(engine, 1.0)
