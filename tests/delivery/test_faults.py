"""Receivers that are down, slow, rude or wrong; relays that meet; a disk that is full."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.conftest import FakeClock, new_id
from tests.delivery.parts import FAST, KEY, relay_for, webhook
from tests.delivery.servers import (
    HOST,
    answer,
    free_port,
    misbehaving,
    read_request,
    serving,
    until,
)
from wsi_ai.core.flags import Level
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.messages import Message
from wsi_ai.delivery.outbox import Outbox, State, open_database
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.relay import Relay
from wsi_ai.errors import OutputError
from wsi_ai.testing import MemorySink, endpoint_for, example_body

MINUTE_S, HOUR_S = 60.0, 3600.0
TIMEOUT_S = 0.4
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For faults of the network, which no database makes different."""


@contextmanager
def relaying(outbox: Outbox, base: str) -> Iterator[tuple[Relay, Sink]]:
    with closing(webhook(base, TIMEOUT_S)) as sink:
        yield Relay(outbox, [sink], FAST), sink


def put_one(outbox: Outbox, level: Level = Level.EXPEDITE) -> str:
    body = example_body(new_id(), level, 0.75)
    flag_id: str = outbox.put(body, [endpoint_for("region", "RXX")])["flag_id"]
    return flag_id


def state(outbox: Outbox) -> State:
    (line,) = outbox.lines()
    return line.state


def trickle(caller: socket.socket) -> None:
    """Answers one byte at a time, for ever."""
    read_request(caller)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + b"x" * 100:
        caller.sendall(bytes([byte]))
        time.sleep(TIMEOUT_S / 4)


def read_slowly(caller: socket.socket) -> None:
    """Reads one byte at a time, for ever."""
    caller.settimeout(TIMEOUT_S / 4)
    for _ in range(30):
        try:
            if not caller.recv(1):
                return
        except TimeoutError:
            continue
        time.sleep(TIMEOUT_S / 4)


def answer_late(caller: socket.socket) -> None:
    read_request(caller)
    time.sleep(2 * TIMEOUT_S)
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def half_an_answer(caller: socket.socket) -> None:
    read_request(caller)
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


def no_answer(caller: socket.socket) -> None:
    read_request(caller)


def no_http(caller: socket.socket) -> None:
    read_request(caller)
    caller.sendall(b"MSH|^~\\&|\r\n\r\n")


def no_end(caller: socket.socket) -> None:
    read_request(caller)
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * (1 << 20))


@ON_SQLITE
@pytest.mark.parametrize(
    "fault",
    [answer(500), answer(502), answer(503), answer(504), answer(429), answer(408), trickle,
     read_slowly, answer_late, half_an_answer, no_answer, no_http, no_end],
)  # fmt: skip
def test_a_fault_that_passes_costs_no_flag_and_no_new_id(
    outbox: Outbox, clock: FakeClock, fault: Callable[[socket.socket], None]
) -> None:
    got: list[bytes] = []

    def take(caller: socket.socket) -> None:
        got.append(read_request(caller))
        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    put_one(outbox)
    with misbehaving(fault, take) as base, relaying(outbox, base) as (relay, sink):
        began = time.monotonic()
        assert relay.step(sink) == 1
        assert time.monotonic() - began < 3 * TIMEOUT_S
        assert state(outbox) is State.PENDING
        clock.move(HOUR_S)
        assert relay.step(sink) == 1
    (line,) = outbox.lines()
    assert (line.state, line.attempts) == (State.DELIVERED, 2)
    assert f"webhook-id: {line.event_id}".encode() in got[0]


@ON_SQLITE
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_says_when_is_not_asked_before(
    outbox: Outbox, clock: FakeClock, status: int
) -> None:
    put_one(outbox)
    script = answer(status, "Retry-After: 600")
    with misbehaving(script, answer(200)) as base, relaying(outbox, base) as (relay, sink):
        relay.step(sink)
        clock.move(599)
        assert relay.step(sink) == 0
        clock.move(2)
        assert relay.step(sink) == 1
    assert state(outbox) is State.DELIVERED


def test_a_401_is_answered_once_with_keys_read_anew(outbox: Outbox) -> None:
    put_one(outbox)
    with misbehaving(answer(401), answer(200)) as base, relaying(outbox, base) as (relay, sink):
        relay.step(sink)
    (line,) = outbox.lines()
    assert (line.state, line.attempts) == (State.DELIVERED, 1)


def test_a_401_that_stays_pauses_the_endpoint_and_kills_no_flag(
    outbox: Outbox, clock: FakeClock
) -> None:
    for _ in range(5):
        put_one(outbox)
    with misbehaving(answer(401)) as base, relaying(outbox, base) as (relay, sink):
        assert relay.step(sink) == 1
        assert relay.step(sink) == 0
    assert {line.state for line in outbox.lines()} == {State.PENDING}
    clock.move(5 * MINUTE_S + 1)
    with misbehaving(answer(200)) as base, relaying(outbox, base) as (relay, sink):
        assert relay.step(sink) == 5


@ON_SQLITE
@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_flag_that_is_refused_waits_for_a_person_and_is_told(outbox: Outbox, status: int) -> None:
    told: list[str] = []
    put_one(outbox)
    with misbehaving(answer(status)) as base, closing(webhook(base)) as sink:
        relay = Relay(outbox, [sink], FAST, alarm=told.append)
        relay.step(sink)
        assert state(outbox) is State.DEAD
        assert relay.sound_alarms() == 1
    assert told == ["1 urgent flag not delivered; see: wsi-ai outbox list"]


@ON_SQLITE
@pytest.mark.parametrize("status", [301, 302, 308, 403, 404, 405, 410])
def test_an_address_that_is_wrong_kills_no_flag(outbox: Outbox, status: int) -> None:
    put_one(outbox)
    with misbehaving(answer(status)) as base, relaying(outbox, base) as (relay, sink):
        relay.step(sink)
        assert relay.step(sink) == 0
    assert state(outbox) is State.PENDING


def test_a_receiver_that_was_down_for_an_hour_gets_everything_within_five_minutes(
    outbox: Outbox, clock: FakeClock, tmp_path: Path
) -> None:
    port = free_port()
    names = [put_one(outbox, level) for level in (*Level, *Level)]
    base = f"http://{HOST}:{port}"
    with relaying(outbox, base) as (relay, sink):
        for _ in range(60):
            relay.step(sink)
            clock.move(MINUTE_S)
        assert relay.sound_alarms() == 2
        inbox = open_inbox(tmp_path / "inbox.db")
        with serving(receiver(inbox, Access((KEY,)), clock), port=port):
            for _ in range(40):
                relay.step(sink)
                clock.move(MINUTE_S)
        held = {line["flag_id"] for line in inbox.held()}
        inbox.close()
    assert held == set(names)


def test_two_relays_on_one_database_deliver_once_and_in_order(
    outbox: Outbox, database: str, clock: FakeClock
) -> None:
    sink = MemorySink(endpoint_for("here"))
    bodies = [example_body(new_id(), score=0.6) for _ in range(40)]
    for body in bodies:
        outbox.put(body, [sink.endpoint])
    relays = [relay_for(database, clock, [sink]) for _ in range(2)]
    stop = threading.Event()
    threads = [threading.Thread(target=relay.run, args=(stop,)) for relay in relays]
    for thread in threads:
        thread.start()
    for body in bodies:
        outbox.put(example_body(body["flag_id"], score=0.9), [sink.endpoint])
    end = time.monotonic() + 20
    while outbox.waiting() and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    for relay in relays:
        relay.outbox.engine.dispose()
    sent = [message.event_id for message in sink.got]
    assert len(set(sent)) == len(sent)
    for body in bodies:
        revisions = [m.revision for m in sink.got if m.flag_id == body["flag_id"]]
        assert revisions in ([1, 2], [2])


def test_a_flag_put_while_a_relay_runs_is_delivered_within_a_second(outbox: Outbox) -> None:
    sink = MemorySink(endpoint_for("here"))
    relay = Relay(outbox, [sink])
    with relay.running():
        time.sleep(0.5)
        began = time.monotonic()
        outbox.put(example_body(new_id()), [sink.endpoint])
        while not sink.got:
            assert time.monotonic() - began < 1
            time.sleep(0.005)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), OverflowError("date"), RecursionError(), UnicodeError("x"), None]
)
def test_a_sink_that_breaks_its_contract_is_told_of_and_the_others_deliver(
    outbox: Outbox, clock: FakeClock, error: Exception | None
) -> None:
    def broken(message: Message) -> None:
        if error is not None:
            raise error

    bad, good = MemorySink(endpoint_for("bad"), fault=broken), MemorySink(endpoint_for("good"))
    if error is None:
        bad.send = lambda message, at: None  # type: ignore[method-assign, assignment, return-value]
    alarms: list[str] = []
    entries: list[Mapping[str, Any]] = []
    relay = Relay(outbox, [bad, good], FAST, record=entries.extend, alarm=alarms.append)
    with relay.running():
        for _ in range(3):
            outbox.put(example_body(new_id()), [bad.endpoint, good.endpoint])
        until(lambda: len(good.got) == 3, "the good sink did not deliver")
        until(lambda: len(alarms) >= 3, "nobody was told")
    assert all("sink bad fails as none should" in told for told in alarms)
    assert {e["sink"] for e in entries if e["what"] == "alarm"} == {"bad"}
    clock.move(HOUR_S)
    mended = MemorySink(endpoint_for("bad"))
    assert Relay(outbox, [mended], FAST).step(mended) == 3
    assert len(mended.got) == 3


def test_a_sink_that_no_longer_takes_a_trust_is_sent_nothing_of_it(outbox: Outbox) -> None:
    outbox.put(example_body(new_id()), [endpoint_for("here", "RXX")])
    moved = MemorySink(endpoint_for("here", "RYY"))
    Relay(outbox, [moved], FAST).step(moved)
    assert moved.attempts == []
    assert state(outbox) is State.DEAD


_FULL = """
import json, resource, sys
from random import Random
from wsi_ai.errors import OutputError
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.outbox import Outbox, open_database
database, bodies = sys.argv[1], json.load(open(sys.argv[2]))
here = Endpoint("here", "memory://here", None)
outbox = Outbox(open_database(database), lambda: 1e9, Random(1))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (350_000, hard))
kept = 0
try:
    for body in bodies:
        outbox.put(body, [here])
        kept += 1
except OutputError as error:
    print(error, file=sys.stderr)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
held = len(outbox.lines())
for body in bodies:
    outbox.put(body, [here])
print(kept, held, len(outbox.lines()))
"""


def test_a_full_disk_refuses_a_flag_loudly_and_spoils_none(tmp_path: Path) -> None:
    bodies = [example_body(new_id()) for _ in range(60)]
    (tmp_path / "bodies.json").write_text(json.dumps(bodies))
    words = [str(tmp_path / "outbox.db"), str(tmp_path / "bodies.json")]
    done = subprocess.run(
        [sys.executable, "-c", _FULL, *words], capture_output=True, text=True, check=True
    )
    kept, held, after = map(int, done.stdout.split())
    assert 0 < kept == held < 60 == after
    assert done.stderr.startswith("the outbox refused: SQLITE_")
    assert bodies[kept]["flag_id"] not in done.stderr


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(OutputError) as caught:
        open_database("postgresql://wsi:hunter2@127.0.0.1:9/outbox")
    assert "hunter2" not in str(caught.value)


def test_errors_name_no_case(outbox: Outbox) -> None:
    body = example_body(new_id())
    with pytest.raises(ValueError, match="validation error") as caught:
        outbox.put({**body, "case": {"accession": {"value": 26, "issuer": "S26-1234"}}}, [])
    assert "S26" not in str(caught.value)
