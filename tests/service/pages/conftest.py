"""One browser for all tests of pages, and a service with nobody but you."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import chromium
from tests.service.pages.stand import Stand, standing


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def stand(database: str) -> Iterator[Stand]:
    with standing(database) as found:
        yield found
