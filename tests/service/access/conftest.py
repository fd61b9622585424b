"""The service's database, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from wsi_ai.service.database.opening import open_service_database


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_service_database(database)
    yield engine
    engine.dispose()
