"""A service's database, of either kind, with an inbox."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.service.database.opening import open_service_database


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    opened = open_service_database(database)
    yield opened
    opened.dispose()


@pytest.fixture
def inbox(engine: Engine) -> Inbox:
    return Inbox(engine)
