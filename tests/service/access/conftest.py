"""The service's database, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.delivery.prepared import prepared
from wsi_ai.service.database.opening import open_service_database


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with prepared(database, open_service_database) as engine:
        yield engine
