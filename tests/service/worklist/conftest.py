"""A service's database, of either kind, with an inbox."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.delivery.prepared import prepared
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.service.database.opening import open_service_database


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with prepared(database, open_service_database) as opened:
        yield opened


@pytest.fixture
def inbox(engine: Engine) -> Inbox:
    return Inbox(engine)
