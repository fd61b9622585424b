"""An outbox on either database, with a clock and chance of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.delivery.certificates import write_certificates
from tests.delivery.prepared import prepared
from tests.delivery.servers import empty_database, postgres
from wsi_ai.delivery.outbox import Outbox, open_database


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates; see ``write_certificates``."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificates(folder)
    return folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "outbox.db")
    url: str = request.getfixturevalue("postgres_url")
    empty_database(url)
    return url


@pytest.fixture
def outbox(database: str, clock: FakeClock) -> Iterator[Outbox]:
    with prepared(database, open_database) as engine:
        yield Outbox(engine, clock, Random(1))


def new_id() -> str:
    return str(uuid.uuid4())
