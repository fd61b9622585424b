"""One flag through the outbox to a FHIR server and an HL7 engine: raised, amended, recalled."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.delivery.conftest import new_id
from tests.delivery.fhir_servers import fhir_engine
from tests.delivery.hl7_servers import Log, mllp_server
from tests.delivery.servers import HOST, until
from wsi_ai.core.flags import Level
from wsi_ai.delivery.formats.fhir import codes
from wsi_ai.delivery.posting import Posting, open_posting
from wsi_ai.testing import example_body


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with fhir_engine() as base:
        yield base


@pytest.fixture
def listener() -> Iterator[Log]:
    with mllp_server() as log:
        yield log


@pytest.fixture
def posting(engine: str, listener: Log, tmp_path: Path) -> Iterator[Posting]:
    sinks = tmp_path / "sinks.toml"
    sinks.write_text(
        f"[[sink]]\nname = 'lab'\nurl = 'fhir+{engine}'\ntrusts = ['RXX']\n"
        f"[[sink]]\nname = 'engine'\nurl = 'mllp://{HOST}:{listener.port}'\ntrusts = ['RXX']\n"
    )
    with open_posting([str(sinks)], str(tmp_path / "outbox.db")) as posting:
        yield posting


def urgent(engine: str, flag_id: str) -> list[Any]:
    asked = {
        "identifier": f"{codes.FLAG_ID}|{flag_id}",
        "priority": "urgent",
        "status": "requested",
    }
    found: list[Any] = httpx.get(f"{engine}/Task", params=asked).json().get("entry", [])
    return found


def test_what_a_person_sees_changes_within_a_second_and_no_urgent_stays(
    engine: str, listener: Log, posting: Posting
) -> None:
    name = new_id()
    posting.put_early(example_body(name, Level.EXPEDITE, 0.9))
    until(lambda: bool(urgent(engine, name)), "it was never raised")
    posting.put(example_body(name, Level.EXPEDITE, 0.95))
    posting.put(example_body(name, Level.NOT_ASSESSED))
    start = time.monotonic()
    assert posting.drain(10) == 0
    until(lambda: not urgent(engine, name), "it stayed urgent", 1)
    posting.put(example_body(name, Level.EXPEDITE, 0.8))
    assert posting.drain(10) == 0
    assert len(urgent(engine, name)) == 1
    list(posting.relay.outbox.recall("mean", "1"))
    posting.relay.wake()
    assert posting.drain(10) == 0
    assert urgent(engine, name) == []
    assert time.monotonic() - start < 30
    assert listener.values("OBR", 3)[-1] == name
    assert listener.values("OBX", 11)[-1] == "D"
    revisions = [int(str(message.segments("OBX")[2][5])) for message in listener.got]
    assert revisions == sorted(revisions)
    found = posting.relay.reconcile()
    assert found == {"lab": [], "engine": None}


def test_another_machine_that_takes_a_flag_over_reaches_the_fhir_server_too(
    engine: str, posting: Posting, tmp_path: Path
) -> None:
    """Its outbox knows nothing of what was sent: what it says is put anew, to follow that."""
    name = new_id()
    posting.put(example_body(name, Level.EXPEDITE, 0.9))
    assert posting.drain(10) == 0
    with open_posting([str(tmp_path / "sinks.toml")], str(tmp_path / "second.db")) as second:
        second.put(example_body(name, Level.STANDARD, 0.1))
        assert second.drain(10) == 0
        assert urgent(engine, name) == []
        assert second.relay.reconcile()["lab"] == []
