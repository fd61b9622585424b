"""Local flags go straight into the worklist's inbox; what it keeps on either database."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select

from tests.delivery.parts import FAST
from tests.service.worklist.parts import amended, flag, name_of, put, taken_back
from wsi_ai.core.flags import Level
from wsi_ai.delivery.contract import CheckedSink, HeartbeatSink, Sink
from wsi_ai.delivery.events import message_of
from wsi_ai.delivery.heartbeat import Backlog, pulse_of
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.outbox import Outbox
from wsi_ai.delivery.outbox.database import connect
from wsi_ai.delivery.outbox.unrouted import note_unrouted
from wsi_ai.delivery.receiver.completeness import completeness
from wsi_ai.delivery.receiver.inbox import Became, Inbox, open_inbox
from wsi_ai.delivery.receiver.incoming import Event, parse
from wsi_ai.delivery.receiver.tables import change, newest
from wsi_ai.delivery.registry import open_sink
from wsi_ai.delivery.relay import Relay
from wsi_ai.delivery.sinks.worklist import WorklistSink
from wsi_ai.errors import Conflict, Refused, SinkError, TryAgain
from wsi_ai.testing import SinkContract, example_body, example_message

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def endpoint_of(database: str) -> Endpoint:
    kind, _, rest = database.partition("://")
    url = f"worklist+{kind}://{rest}" if rest else f"worklist://{database}"
    return Endpoint("here", url, frozenset({"RXX"}), heartbeat_s=60.0)


@pytest.fixture
def sink(database: str) -> Iterator[Sink]:
    with closing(open_sink(endpoint_of(database))) as opened:
        yield opened


@pytest.fixture
def inbox(database: str) -> Iterator[Inbox]:
    with closing(open_inbox(database)) as opened:
        yield opened


class TestWorklistSink(SinkContract):
    """The whole suite of a sink, on both databases."""


def changes_of(inbox: Inbox) -> list[tuple[str, str, str | None]]:
    with inbox.engine.connect() as connection:
        found = select(change.c.what, change.c.id, change.c.trust).order_by(change.c.seq)
        return [tuple(row) for row in connection.execute(found)]


def test_a_flag_is_a_line_and_a_change_at_once(sink: Sink, inbox: Inbox) -> None:
    message = example_message(str(uuid.uuid4()))
    sink.send(message, NOON)
    assert [line["flag_id"] for line in inbox.worklist()] == [message.flag_id]
    assert changes_of(inbox) == [("line", message.flag_id, "RXX")]
    sink.send(message, NOON)  # it changes nothing
    assert len(changes_of(inbox)) == 1


def test_another_answer_by_one_who_does_not_know_is_a_conflict(sink: Sink) -> None:
    name = str(uuid.uuid4())
    sink.send(message_of(example_body(name, Level.EXPEDITE, 0.8)), NOON)
    with pytest.raises(Conflict) as told:
        sink.send(message_of(example_body(name, Level.STANDARD, 0.1)), NOON)
    assert told.value.held is not None
    assert told.value.held.revision == 1


def test_what_is_no_flag_is_refused_for_good(sink: Sink) -> None:
    message = example_message(str(uuid.uuid4()))
    with pytest.raises(Refused):
        sink.send(replace(message, body=b"{}"), NOON)
    with pytest.raises(Refused):
        sink.send(replace(message, body=b"{}", sha256=""), NOON)


def test_a_database_that_is_away_is_tried_again(tmp_path: Path) -> None:
    with closing(open_sink(endpoint_of(str(tmp_path / "nowhere" / "x.db")))) as sink:
        with pytest.raises(TryAgain):
            sink.send(example_message(str(uuid.uuid4())), NOON)
        (tmp_path / "nowhere").mkdir()
        sink.send(example_message(str(uuid.uuid4())), NOON)


def test_an_address_without_an_absolute_path_is_refused() -> None:
    with pytest.raises(SinkError, match="worklist:///"):
        open_sink(Endpoint("here", "worklist://inbox.db", None))


def test_a_relay_beats_into_it_and_says_how_many_slides_have_no_model(
    outbox: Outbox, sink: Sink, inbox: Inbox
) -> None:
    assert isinstance(sink, WorklistSink)
    assert isinstance(sink, HeartbeatSink)
    assert isinstance(sink, CheckedSink)
    with outbox.writing() as connection:
        note_unrouted(connection, 3)
    assert Relay(outbox, [sink], FAST).beat(sink) == 60.0
    (said,) = completeness(inbox.senders(outbox.clock()))["why"]
    assert said.endswith("3 slides: no model")
    with outbox.writing() as connection:
        note_unrouted(connection, 0)
    Relay(outbox, [sink], FAST).beat(sink)
    assert completeness(inbox.senders(outbox.clock()))["complete"]
    assert [what for what, _, _ in changes_of(inbox)] == ["sender", "sender"]
    Relay(outbox, [sink], FAST).beat(sink)  # nothing new is said
    assert len(changes_of(inbox)) == 2


@pytest.mark.parametrize("said", [None, "3", 3.5, -3, True, [], {"slides": 3}])
def test_an_extension_that_is_no_number_of_slides_is_passed_over(said: object) -> None:
    sender = {"silent": False, "dead": 0, "sender": "s", "trusts": [], "incomplete_since": None}
    told = completeness([{**sender, "extensions": {"unrouted": said}}])
    assert told["complete"] == (said is not True)


def test_a_flag_of_a_model_on_trial_is_kept_and_not_shown(inbox: Inbox) -> None:
    silent = put(inbox, flag(extensions={"silent": True}))
    assert inbox.worklist() == []
    assert [line["flag_id"] for line in inbox.held()] == [silent["flag_id"]]
    put(inbox, amended(silent, extensions={}))
    assert len(inbox.worklist()) == 1


def test_a_line_that_people_were_shown_is_not_hidden_by_one_that_says_to_be_on_trial(
    inbox: Inbox,
) -> None:
    shown = put(inbox, flag())
    put(inbox, amended(shown, extensions={"silent": True}))
    assert len(inbox.worklist()) == 1


def test_whoever_saw_a_flag_under_another_trust_is_told_too(inbox: Inbox) -> None:
    body = put(inbox, flag(trust="RXX"))
    moved = amended(body) | {"tenant": {"network": "N2", "trust_ods": "RYJ"}}
    put(inbox, moved)
    assert [trust for _, _, trust in changes_of(inbox)] == ["RXX", "RXX", "RYJ"]


@pytest.mark.parametrize("sign", ["\0", "\ud800"])
@pytest.mark.parametrize("place", ["explanation", "accession"])
def test_text_that_one_database_keeps_and_another_does_not_is_refused_at_the_edge(
    sign: str, place: str
) -> None:
    body = flag()
    if place == "explanation":
        body["result"] = {**body["result"], "explanation": f"a{sign}b"}
    else:
        body["case"] = {"accession": {"value": f"a{sign}b", "issuer": None}}
    event = json.loads(message_of(flag()).body) | {"data": body}
    with pytest.raises(ValueError, match="no text has"):
        parse(json.dumps(event).encode())


def test_two_who_take_the_same_revision_at_once_change_the_line_once(
    database: str, inbox: Inbox
) -> None:
    import threading

    body, others = flag(), [open_inbox(database) for _ in range(4)]
    became = list[Became]()
    event = Event(name_of(body), body)
    threads = [
        threading.Thread(target=lambda one=one: became.append(one.take(event, 1.0)))
        for one in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(became) == ["duplicate"] * 3 + ["newest"]
    assert len(changes_of(inbox)) == 1
    for one in others:
        one.close()


def test_a_file_of_an_earlier_receiver_is_taken_over_once(tmp_path: Path) -> None:
    """As 0.1 wrote it: its tables had no prefix."""
    path, bodies = tmp_path / "inbox.db", [flag(), flag(Level.STANDARD, score=0.1)]
    gone = taken_back(bodies[1], NOON)
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(
            "CREATE TABLE arrival (n INTEGER PRIMARY KEY, event_id TEXT, flag_id TEXT,"
            " revision INTEGER, at REAL, became TEXT);"
            "CREATE TABLE newest (flag_id TEXT PRIMARY KEY, revision INTEGER, event_id TEXT,"
            " at REAL, flag TEXT, answer TEXT);"
            "CREATE TABLE sender (trusts TEXT PRIMARY KEY, at REAL, told TEXT);"
        )
        for body in (bodies[0], gone):
            row = (body["flag_id"], body["revision"], name_of(body), 5.0, json.dumps(body), None)
            old.execute("INSERT INTO newest VALUES (?, ?, ?, ?, ?, ?)", row)
            arrived = (name_of(body), body["flag_id"], body["revision"], 5.0, "newest")
            old.execute("INSERT INTO arrival VALUES (NULL, ?, ?, ?, ?, ?)", arrived)
        endpoint = Endpoint("x", "memory://x", frozenset({"RXX"}), heartbeat_s=60.0)
        told = json.loads(pulse_of(endpoint, "s", Backlog(0, 0, None, None), NOON).body)["data"]
        old.execute("INSERT INTO sender VALUES (?, ?, ?)", ('["RXX"]', 5.0, json.dumps(told)))
    for _ in range(2):
        with closing(open_inbox(path)) as inbox:
            assert [line["flag_id"] for line in inbox.worklist()] == [bodies[0]["flag_id"]]
            assert len(inbox.held()) == 2
            assert len(inbox.senders(6.0)) == 1
            assert inbox.take(Event(name_of(bodies[0]), bodies[0]), 7.0) is Became.DUPLICATE
            there = set(inspect(inbox.engine).get_table_names())
            assert not there & {"newest", "arrival", "heard", "sender", "audit_head"}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_tables_of_another_program_with_those_names_are_left_alone(database: str) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("CREATE TABLE newest (film TEXT)")
        other.execute("CREATE TABLE sender (name TEXT, street TEXT)")
    with closing(open_inbox(database)) as inbox:
        assert {"newest", "sender"} <= set(inspect(inbox.engine).get_table_names())


def test_a_list_of_what_is_held_is_as_long_as_there_are_flags(database: str) -> None:
    with closing(open_inbox(database)) as inbox:
        for _ in range(3):
            put(inbox, flag())
    engine = connect(database)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(newest)) == 3
    engine.dispose()
