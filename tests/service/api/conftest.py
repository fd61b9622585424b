"""The API on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.conftest import FakeClock
from tests.delivery.prepared import prepared
from tests.service.api.world import World, make_world
from wsi_ai.service.database.opening import open_service_database


@pytest.fixture
def world(database: str, clock: FakeClock, tmp_path: Path) -> Iterator[World]:
    with prepared(database, open_service_database) as engine:
        yield make_world(engine, clock, tmp_path / "site")
