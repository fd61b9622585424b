"""A sender that lives says so, and one that is silent is seen to be."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest

from tests.delivery.conftest import FakeClock, new_id
from tests.delivery.parts import FAST, KEY, webhook_endpoint
from tests.delivery.servers import free_port, misbehaving, read_request, serving, until
from wsi_ai import schemas
from wsi_ai.delivery.flag_types import Heartbeat
from wsi_ai.delivery.heartbeat import Backlog, pulse_of
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.outbox import Outbox
from wsi_ai.delivery.posting import Posting
from wsi_ai.delivery.receiver.completeness import completeness
from wsi_ai.delivery.receiver.inbox import Inbox, open_inbox
from wsi_ai.delivery.receiver.incoming import Beat, parse
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.relay import Relay
from wsi_ai.delivery.sinks import folder
from wsi_ai.delivery.sinks.webhook import open_sink
from wsi_ai.errors import Refused, SinkError
from wsi_ai.testing import MemorySink, endpoint_for, example_body, example_message

SCHEMA = "heartbeat-1.1"
SENDER = "a sender"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def beating(endpoint: Endpoint, every_s: float = 60.0) -> Endpoint:
    return replace(endpoint, heartbeat_s=every_s)


def data_of(body: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(body)["data"]
    return data


def test_it_tells_what_waits_and_names_no_slide_and_no_case(
    outbox: Outbox, clock: FakeClock
) -> None:
    here = beating(endpoint_for("here", "RXX"))
    outbox.put(example_body(new_id()), [here, endpoint_for("there", "RXX")])
    clock.move(60)
    outbox.put(example_body(new_id()), [here])
    (first, _) = outbox.claim("here")
    outbox.settle("here", [(first, Refused("no"))])
    pulse = pulse_of(here, SENDER, outbox.backlog("here"), NOON)
    assert data_of(pulse.body) == {
        "schema_version": "1.1",
        "sender": SENDER,
        "waiting_elsewhere": 1,
        "extensions": {},
        "trusts": ["RXX"],
        "every_s": 60.0,
        "waiting": 1,
        "dead": 1,
        "oldest_waiting": "2026-05-28T20:27:40.000Z",
        "newest_flag": "2026-05-28T20:27:40.000Z",
    }
    assert b"S26-1234" not in pulse.body


@pytest.mark.parametrize(
    "wrong",
    [
        {"waiting": -1},
        {"every_s": 0},
        {"newest_flag": "noon"},
        {"case": "S26-1"},
        {"trusts": [""]},
        {"sender": ""},
        {"waiting_elsewhere": -1},
        {"extensions": []},
    ],
)
def test_schema_and_model_refuse_the_same_heartbeats(wrong: dict[str, Any]) -> None:
    backlog = Backlog(0, 0, None, 1e9)
    good = data_of(pulse_of(beating(endpoint_for("x")), SENDER, backlog, NOON).body)
    assert schemas.complaint(SCHEMA, good) is None
    Heartbeat.model_validate(good)
    assert schemas.complaint(SCHEMA, good | wrong) is not None
    with pytest.raises(pydantic.ValidationError):
        Heartbeat.model_validate(good | wrong)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = open_inbox(tmp_path / "inbox.db")
    yield inbox
    inbox.close()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_sender_that_stops_is_shown_as_silent_beside_the_worklist(
    outbox: Outbox, inbox: Inbox, clock: FakeClock
) -> None:
    with serving(receiver(inbox, Access((KEY,)), clock)) as base:

        def senders() -> list[dict[str, Any]]:
            return list(httpx.get(f"{base}/worklist").json()["senders"])

        assert senders() == []
        with closing(open_sink(beating(webhook_endpoint(base)))) as sink:
            assert Relay(outbox, [sink], FAST).beat(sink) == 60.0
        (told,) = senders()
        assert (told["trusts"], told["silent"], told["waiting"]) == (["RXX"], False, 0)
        clock.move(179)
        assert not senders()[0]["silent"]
        clock.move(2)
        assert senders()[0]["silent"]
    assert inbox.arrivals() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_running_relay_beats_once_for_an_endpoint_however_many_sinks_it_has(
    outbox: Outbox,
) -> None:
    endpoint = beating(endpoint_for("here"), 0.05)
    sinks = [MemorySink(endpoint), MemorySink(endpoint), MemorySink(endpoint_for("quiet"))]
    with Relay(outbox, sinks, FAST).running():
        until(lambda: len(sinks[0].pulses) >= 3, "the relay did not beat")
    assert sinks[1].pulses == sinks[2].pulses == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_heartbeat_that_no_one_takes_holds_nothing_up(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = beating(webhook_endpoint(f"http://127.0.0.1:{free_port()}"))
    outbox.put(example_body(new_id()), [endpoint])
    stop = threading.Event()
    with closing(open_sink(endpoint)) as sink:
        thread = threading.Thread(target=Relay(outbox, [sink], FAST).run, args=(stop,))
        thread.start()
        until(lambda: outbox.lines()[0].attempts >= 1, "the flag was not tried")
        stop.set()
        thread.join()
    assert "no heartbeat to region" in caplog.text


def test_a_folder_has_no_one_to_hear_it(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="takes no heartbeat"):
        folder.open_sink(Endpoint("x", f"file://{tmp_path}", None, heartbeat_s=60.0))


def test_all_attempts_of_a_flag_are_one_trace_and_each_has_its_own_id() -> None:
    got: list[bytes] = []

    def take(caller: Any) -> None:
        got.append(read_request(caller))
        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    message = example_message(new_id())
    with misbehaving(take) as base, closing(open_sink(webhook_endpoint(base))) as sink:
        for _ in range(2):
            sink.send(message, datetime.fromtimestamp(time.time(), UTC))
    pattern = rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-00\r\n"
    (first, second) = [re.findall(pattern, request)[0] for request in got]
    assert first[0].decode() == second[0].decode() == message.flag_id.replace("-", "")
    assert first[1] != second[1]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_worklist_says_that_it_may_be_incomplete_until_a_run_begins(
    outbox: Outbox, inbox: Inbox, clock: FakeClock
) -> None:
    with serving(receiver(inbox, Access((KEY,)), clock)) as base:

        def shown() -> dict[str, Any]:
            found: dict[str, Any] = httpx.get(f"{base}/worklist").json()
            return found

        assert not shown()["complete"]  # nobody was heard yet
        endpoint = beating(webhook_endpoint(base))
        with closing(open_sink(endpoint)) as sink:
            relay = Relay(outbox, [sink], FAST)
            posting = Posting(relay, (endpoint,))
            relay.beat(sink)
            assert (shown()["complete"], shown()["why"], shown()["note"]) == (True, [], None)
            clock.move(30)
            posting.not_started(7, "device")
            clock.move(60)
            relay.beat(sink)  # and it is still so
            said = shown()
            assert not said["complete"]
            assert said["note"].startswith(
                "This list may be incomplete since 2026-05-28T20:27:10.000Z:"
            )
            (why,) = said["why"]
            assert "a run did not start (device), number of slides that wait: 7" in why
            posting.begun()
            relay.beat(sink)
            assert shown()["complete"]
            clock.move(181)
            assert "is silent" in shown()["note"]


ALL_IS_WELL = {"silent": False, "heard": "then", "sender": "s", "trusts": ["RXX"]} | dict.fromkeys(
    ["dead", "waiting_elsewhere"], 0
)


@pytest.mark.parametrize(
    "trouble",
    [
        {"silent": True},
        {"dead": 1},
        {"waiting_elsewhere": 2},
        {"run_not_started": {"slides_waiting": 0, "reason": "model"}},
    ],
)
def test_one_sender_that_is_well_hides_no_other(trouble: dict[str, Any]) -> None:
    well = ALL_IS_WELL | {"incomplete_since": None}
    assert completeness([well])["complete"]
    ill = ALL_IS_WELL | {"incomplete_since": "noon"} | trouble
    for senders in ([well, ill], [ill, well]):
        told = completeness(senders)
        assert not told["complete"]
        assert len(told["why"]) == 1
        assert "may be incomplete since noon" in told["note"]


def test_a_receiver_s_file_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    endpoint = beating(endpoint_for("x"))
    pulse = pulse_of(endpoint, SENDER, Backlog(0, 1, None, 1e9), NOON)
    with closing(sqlite3.connect(tmp_path / "inbox.db")) as old, old:
        old.execute("CREATE TABLE heard (sender TEXT PRIMARY KEY, at REAL, told TEXT)")
        row = (SENDER, NOON.timestamp(), json.dumps(data_of(pulse.body)))
        old.execute("INSERT INTO heard VALUES (?, ?, ?)", row)
    inbox = open_inbox(tmp_path / "inbox.db")
    with closing(inbox):
        (sender,) = inbox.senders(NOON.timestamp() + 1)
        assert sender["incomplete_since"] == "2026-06-01T12:00:00.000Z"
        beat = parse(pulse.body)
        assert isinstance(beat, Beat)
        inbox.hear(beat, NOON.timestamp() + 2)
        assert not completeness(inbox.senders(NOON.timestamp() + 3))["complete"]
