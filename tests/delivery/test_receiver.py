"""The reference receiver, and the sink that speaks to it."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.delivery.parts import KEY, credentials, webhook_endpoint
from tests.delivery.servers import serving
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.events import Revision, answer_digest, message_of, retraction
from wsi_ai.delivery.messages import Held, Kind, Message, Retraction, Secret
from wsi_ai.delivery.outbox.database import connect
from wsi_ai.delivery.receiver.inbox import Became, Inbox, open_inbox
from wsi_ai.delivery.receiver.incoming import Event, parse
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.sinks.signing import signed_headers
from wsi_ai.delivery.sinks.webhook import open_sink
from wsi_ai.errors import Conflict, Paused, Refused
from wsi_ai.testing import SinkContract, example_body, example_message

TOKEN = "a token"


@dataclass
class Receiver:
    base: str
    inbox: Inbox

    def worklist(self) -> list[dict[str, object]]:
        told = httpx.get(f"{self.base}/worklist", headers={"Authorization": f"Bearer {TOKEN}"})
        return list(told.raise_for_status().json()["worklist"])


@pytest.fixture
def receiving(database: str) -> Iterator[Receiver]:
    inbox = open_inbox(database)
    with serving(receiver(inbox, Access((KEY,), TOKEN), time.time)) as base:
        yield Receiver(base, inbox)
    inbox.close()


@pytest.fixture
def sink(receiving: Receiver) -> Iterator[Sink]:
    held = credentials(KEY, bearer=TOKEN)
    with closing(open_sink(webhook_endpoint(receiving.base, held=held))) as sink:
        yield sink


def now() -> datetime:
    return datetime.now(UTC)


class TestWebhookSink(SinkContract):
    """The whole suite of a sink, against the receiver."""


def revised(flag_id: str, revision: int, level: Level, score: float) -> Message:
    """Of a flag whose level was "standard" at first, and whose revisions follow each other."""
    body = example_body(flag_id, level, score)
    if revision == 1:
        return message_of(body)
    before = revised(flag_id, revision - 1, *(EARLIER if revision == 2 else (level, score)))
    more = {"revision": revision, "action": "amend", "supersedes": before.event_id}
    return message_of({**body, **more})


EARLIER = Level.STANDARD, 0.2


def test_the_worklist_shows_the_newest_revision_and_the_most_urgent_first(
    receiving: Receiver, sink: Sink
) -> None:
    plain, urgent, unseen = (str(uuid.uuid4()) for _ in range(3))
    sink.send(revised(plain, 1, Level.STANDARD, 0.1), now())
    sink.send(revised(unseen, 1, Level.NOT_ASSESSED, 0.0), now())
    sink.send(revised(urgent, 1, *EARLIER), now())
    sink.send(revised(urgent, 2, Level.EXPEDITE, 0.8), now())
    shown = receiving.worklist()
    assert [line["flag_id"] for line in shown] == [urgent, unseen, plain]
    assert [line["revision"] for line in shown] == [2, 1, 1]
    assert all(line["statement"] == STATEMENT for line in shown)


def test_duplicates_and_late_arrivals_change_nothing(receiving: Receiver, sink: Sink) -> None:
    name = str(uuid.uuid4())
    first, second = revised(name, 1, *EARLIER), revised(name, 2, Level.EXPEDITE, 0.8)
    for message in (first, second, second, first):
        sink.send(message, now())
    assert [line["revision"] for line in receiving.worklist()] == [2]
    assert [became for *_, became in receiving.inbox.arrivals()] == [
        Became.NEWEST, Became.NEWEST, Became.DUPLICATE, Became.DUPLICATE,
    ]  # fmt: skip


def test_another_answer_by_one_who_does_not_know_what_is_held_is_refused_and_told_what_is(
    receiving: Receiver, sink: Sink
) -> None:
    """Two outboxes ask the same question of the same slide."""
    name = str(uuid.uuid4())
    mine = revised(name, 1, Level.EXPEDITE, 0.8)
    sink.send(mine, now())
    blind = message_of(
        example_body(name, Level.STANDARD, 0.1)
        | {"revision": 7, "action": "amend", "supersedes": "evt_of_another_outbox"}
    )
    for other in (revised(name, 1, *EARLIER), revised(name, 2, Level.STANDARD, 0.1), blind):
        for _ in range(2):  # it does not become known by being refused
            with pytest.raises(Conflict, match="another answer") as told:
                sink.send(other, now())
            held = told.value.held
            assert isinstance(held, Held)
            assert (held.revision, held.event_id, held.retracted) == (1, mine.event_id, False)
            assert held.answer == answer_digest(json.loads(mine.body)["data"])
    assert [line["level"] for line in receiving.worklist()] == ["expedite"]
    sink.send(revised(name, 1, Level.EXPEDITE, 0.8), now())


def test_the_list_of_what_is_held_names_event_and_answer(receiving: Receiver, sink: Sink) -> None:
    message = revised(str(uuid.uuid4()), 1, *EARLIER)
    sink.send(message, now())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    (line,) = httpx.get(f"{receiving.base}/flags", headers=headers).json()["flags"]
    assert (line["event_id"], line["revision"]) == (message.event_id, 1)
    assert line["answer_digest"] == json.loads(message.body)["answerdigest"]


@settings(max_examples=40)
@given(order=st.lists(st.integers(1, 6), min_size=1, max_size=20), back=st.integers(1, 6))
def test_in_whatever_order_and_however_often_they_come_what_follows_what_is_held_holds(
    order: list[int], back: int
) -> None:
    """One of the revisions takes the flag back."""
    name, inbox, held = str(uuid.uuid4()), open_inbox(":memory:"), 0
    chain = [{**example_body(name, score=0.5), "revision": 1}]
    for revision in range(2, 7):
        more = {"revision": revision, "action": "amend"}
        if revision == back:
            more |= {"action": "retract", "retraction_reason": "operator"}
        before = message_of(chain[-1]).event_id
        body = example_body(name, score=0.5 + revision / 100)
        chain.append({**body, **more, "supersedes": before})
    for revision in order:
        inbox.take(parse_flag(message_of(chain[revision - 1]).body), time.time())
        held = revision if held in (0, revision - 1) else held
        assert [line["revision"] for line in inbox.held()] == [held]
    shown = [line["revision"] for line in inbox.worklist()]
    assert shown == ([] if held == back > 1 else [held])
    inbox.close()


def parse_flag(body: bytes) -> Event:
    event = parse(body)
    assert isinstance(event, Event)
    return event


def test_an_old_revision_after_a_retraction_does_not_bring_the_flag_back(
    receiving: Receiver, sink: Sink
) -> None:
    name = str(uuid.uuid4())
    body, first = example_body(name), revised(name, 1, Level.EXPEDITE, 0.75)
    said = Revision(first.event_id, 1, Kind.RAISED, Level.EXPEDITE, "")
    for message in (first, message_of(retraction(body, said, Retraction.OPERATOR, now())), first):
        sink.send(message, now())
    assert receiving.worklist() == []


def test_a_sender_with_another_key_or_token_is_turned_away(receiving: Receiver) -> None:
    other = "whsec_" + KEY[6:].swapcase()
    for held in (credentials(other, bearer=TOKEN), credentials(KEY), credentials(KEY, bearer="x")):
        with (
            closing(open_sink(webhook_endpoint(receiving.base, held=held))) as stranger,
            pytest.raises(Paused, match="401"),
        ):
            stranger.send(example_message(str(uuid.uuid4())), now())
    assert receiving.inbox.arrivals() == []


def test_the_worklist_is_not_for_everyone(receiving: Receiver) -> None:
    for page in ("worklist", "flags"):
        assert httpx.get(f"{receiving.base}/{page}").status_code == 401


def test_a_request_from_six_minutes_ago_is_turned_away(receiving: Receiver, sink: Sink) -> None:
    with pytest.raises(Paused, match="401"):
        sink.send(
            example_message(str(uuid.uuid4())), datetime.fromtimestamp(time.time() - 360, UTC)
        )


Spoil = Callable[[dict[str, object]], object]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.pop("data"),
        lambda event: event.update(specversion="0.3"),
        lambda event: event["data"].update(patient_name="x"),
        lambda event: event["data"]["result"].update(level="benign"),
        lambda event: event["data"]["regulatory"].update(statement="Cleared."),
        lambda event: event["data"].pop("schema_version"),
    ],
)
def test_what_is_no_flag_is_refused_for_good(receiving: Receiver, sink: Sink, spoil: Spoil) -> None:
    message = example_message(str(uuid.uuid4()))
    event = json.loads(message.body)
    spoil(event)
    bad = Message(
        message.event_id, message.flag_id, 1, message.kind, "RXX", True, json.dumps(event).encode()
    )
    with pytest.raises(Refused, match="422"):
        sink.send(bad, now())
    assert receiving.inbox.arrivals() == []


def test_an_event_that_was_signed_under_another_id_is_refused(receiving: Receiver) -> None:
    body = example_message(str(uuid.uuid4())).body
    headers = signed_headers("evt_other", body, [Secret(KEY.encode())], now())
    headers |= {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/cloudevents+json",
    }
    assert httpx.post(f"{receiving.base}/flags", content=body, headers=headers).status_code == 400


def test_no_more_is_read_than_a_flag_can_be(receiving: Receiver) -> None:
    told = httpx.post(
        f"{receiving.base}/flags",
        content=b"x" * (1 << 19),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert told.status_code == 413


def test_what_was_answered_for_is_on_the_disk(
    receiving: Receiver, sink: Sink, database: str
) -> None:
    sink.send(example_message(str(uuid.uuid4())), now())
    other = connect(database)
    with other.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(newest)) == 1
    other.dispose()


def test_neither_shows_a_secret(sink: Sink) -> None:
    shown = f"{Access((KEY,), TOKEN)!r} {sink!r} {sink.endpoint!r} {Secret(KEY.encode())!r}"
    assert KEY not in shown
    assert TOKEN not in shown
