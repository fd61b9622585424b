"""The API on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.conftest import FakeClock
from tests.service.api.world import World, make_world
from wsi_ai.delivery.receiver.inbox import make_inbox_tables
from wsi_ai.service.database.opening import open_service_database


@pytest.fixture
def world(database: str, clock: FakeClock, tmp_path: Path) -> Iterator[World]:
    engine = open_service_database(database)
    make_inbox_tables(engine)
    yield make_world(engine, clock, tmp_path / "site")
    engine.dispose()
