"""No slide stays open behind its test."""

from collections.abc import Iterator

import pytest

from tests.service.viewer.parts import SHELVES


@pytest.fixture(autouse=True)
def closed_shelves() -> Iterator[None]:
    yield
    for shelf in SHELVES:
        shelf.close()
