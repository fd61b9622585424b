"""A database is made, upgraded, and never taken for another version's or program's."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, inspect, select, text

from wsi_ai.delivery.outbox import open_database
from wsi_ai.delivery.outbox.tables import event
from wsi_ai.errors import OutputError
from wsi_ai.service.database import opening
from wsi_ai.service.database.opening import SCHEMA, Schema, add_missing, version_of
from wsi_ai.service.database.tables import META, schema_version
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
        engine = opening.open_service_database(database, 5.0)
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
        connection.execute(text(f"CREATE TABLE {schema_version.name} (version INTEGER)"))
        connection.execute(text("CREATE TABLE wsi_ai_worker (name TEXT)"))
    with pytest.raises(OutputError):
        SCHEMA.upgrade(engine, 1.0)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {schema_version.name}"))
    with pytest.raises(OutputError, match="wsi_ai_worker that is not ours"):
        SCHEMA.make(engine, 1.0)


def test_jobs_of_before_there_were_versions_are_kept(engine: Engine) -> None:
    """Their table had fewer columns."""
    with engine.begin() as connection:
        job.metadata.create_all(connection)
        connection.execute(text("ALTER TABLE job DROP COLUMN network"))
        connection.execute(text("ALTER TABLE job DROP COLUMN given_back"))
        connection.execute(
            text(
                'INSERT INTO job (job_id, trust, key, asked_sha256, slide_uri, models, "case",'
                " urgent, due_by, state, created, attempt, next_at, flag_ids, seconds,"
                " submitted_by) VALUES ('j', 'RXX', 'k', 'a', 'file:///a', '[]', '{}', false, 1,"
                " 'waiting', 1, 0, 1, '[]', '{}', 'tests')"
            )
        )
    with pytest.raises(OutputError, match="older"):
        SCHEMA.make(engine, 2.0)
    SCHEMA.upgrade(engine, 2.0)
    with engine.connect() as connection:
        row = connection.execute(select(job)).one()
    assert (row.job_id, row.network, row.given_back) == ("j", None, 0)


def test_a_column_that_is_added_has_its_least_value(engine: Engine) -> None:
    before, after = MetaData(), MetaData()
    Table("wsi_ai_t", before, Column("a", Text, primary_key=True))
    Table("wsi_ai_t", after, Column("a", Text, primary_key=True), Column("b", Text, nullable=False))
    with engine.begin() as connection:
        before.create_all(connection)
        connection.execute(text("INSERT INTO wsi_ai_t (a) VALUES ('x')"))
        add_missing(connection, after)
        add_missing(connection, after)
        assert connection.execute(text("SELECT a, b FROM wsi_ai_t")).one() == ("x", "")
