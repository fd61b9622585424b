"""A queue on either database, with a clock and chance of its own."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.delivery.conftest import (  # noqa: F401
    FakeClock,
    authority,
    clock,
    database,
    postgres_url,
)
from tests.delivery.prepared import prepared
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.jobs import Asked
from wsi_ai.service.queue import Queue


@pytest.fixture
def queue(database: str, clock: FakeClock) -> Iterator[Queue]:  # noqa: F811
    with prepared(database, open_service_database) as engine:
        yield Queue(engine, clock, Random(1))


def asked(slide: str = "a", **more: object) -> Asked:
    case = {"trust": "RXX", "accession": "S26-1", "slide_id": slide}
    told = {"trust": "RXX", "slide_uri": f"file:///scans/{slide}.svs", "models": ("m@1",),
            "submitted_by": "tests", "case": case}  # fmt: skip
    return Asked(**{**told, **more})  # type: ignore[arg-type]
