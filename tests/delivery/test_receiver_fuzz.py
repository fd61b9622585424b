"""The reference receiver is copied by others: whatever comes, it answers 4xx or keeps it, and what
it shows can be shown.  ``WSI_AI_FUZZ=20000`` for a night."""

import base64
import json
import os
import time
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.delivery.parts import KEY
from tests.delivery.servers import empty_database
from wsi_ai.core.printable import UNSEEN
from wsi_ai.delivery.heartbeat import Backlog, pulse_of
from wsi_ai.delivery.messages import Endpoint, Secret
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.verify import check_key, is_genuine
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.sinks.signing import signed_headers
from wsi_ai.errors import SinkError
from wsi_ai.testing import example_message

EXAMPLES = int(os.environ.get("WSI_AI_FUZZ", "60"))
TOKEN = "a token of the tests"
FLAG = example_message(str(uuid.uuid4())).body
BEATING = Endpoint("x", "memory://x", frozenset({"RXX"}), heartbeat_s=60.0)
BEAT = pulse_of(BEATING, "sender", Backlog(1, 0, 0.0, 0.0), datetime.now(UTC), "3:" + "a" * 64).body
TYPE = "application/cloudevents+json"
SEEN: Counter[int] = Counter()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """Raises what the server does not answer for."""
    url = ":memory:" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    if request.param == "postgresql":
        empty_database(url)
    inbox = open_inbox(url)
    with TestClient(receiver(inbox, Access((KEY,), TOKEN), time.time)) as client:
        yield client
    inbox.close()
    print(f"receiver: answers by status: {dict(sorted(SEEN.items()))}")


def genuine(event_id: str, body: bytes) -> dict[str, str]:
    signed = signed_headers(event_id, body, [Secret(KEY.encode())], datetime.now(UTC))
    return {**signed, "authorization": f"Bearer {TOKEN}", "content-type": TYPE}


def post(client: TestClient, body: bytes, headers: Any) -> int:
    status: int = client.post("/flags", content=body, headers=headers).status_code
    SEEN[status] += 1
    return status


def can_be_shown(client: TestClient) -> None:
    for page in ("worklist", "flags"):
        shown = client.get(f"/{page}", headers={"authorization": f"Bearer {TOKEN}"})
        assert shown.status_code == 200
        assert json.loads(shown.text, parse_constant=lambda _: pytest.fail("no JSON")) is not None
        assert not {unicodedata.category(sign) for sign in shown.text} & UNSEEN


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=5)
    | st.sampled_from(["\u202e", "\x1b[2J", "x" * 3000, "9" * 5000, "2026-99-99T99:99:99.999Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip
HARD = st.sampled_from(
    ["Infinity", "-Infinity", "NaN", "1e999", "9223372036854775808", "9223372036854775807",
     "1" * 5000, "[" * 5000 + "]" * 5000, '{"a":' * 900 + "1" + "}" * 900, '"\\ud800"', "-0",
     '"\\u0000"', "1E400", "-1", "0.5", "true", "null", '""', "[]", "{}"]
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(
        value, list) else ()  # fmt: skip
    for name, part in parts:
        yield from places(part, (*way, name))


def spoil(body: bytes, way: tuple[Any, ...], text: str, *, more: bool) -> bytes:
    """With other JSON in a place, or beside what is there."""
    event = json.loads(body)
    if not way:
        return text.encode("utf-8", "surrogatepass")
    place = event
    for name in way[:-1]:
        place = place[name]
    if more and isinstance(place, dict):
        place[f"{way[-1]}x"] = "@@"
    else:
        place[way[-1]] = "@@"
    whole = json.dumps(event).replace('"@@"', text)
    return whole.encode("utf-8", "surrogatepass")


WAYS = {body: [way for way in places(json.loads(body)) if way != ("id",)] for body in (FLAG, BEAT)}


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(data=st.data(), kind=st.sampled_from([FLAG, BEAT]), more=st.booleans())
def test_a_signed_event_with_anything_in_any_place_is_kept_or_4xx(
    client: TestClient, data: st.DataObject, kind: bytes, *, more: bool
) -> None:
    way = data.draw(st.sampled_from(WAYS[kind]))
    text = data.draw(HARD | JSON.map(json.dumps))
    body = spoil(kind, way, text, more=more)
    status = post(client, body, genuine(json.loads(kind)["id"], body))
    assert status == 200 or 400 <= status < 500
    can_be_shown(client)


@pytest.mark.parametrize("text", ["Infinity", "1e999", "NaN", "1e308", "-1", "0"])
def test_a_heartbeat_without_a_time_is_refused_and_the_worklist_stays(
    client: TestClient, text: str
) -> None:
    body = spoil(BEAT, ("data", "every_s"), text, more=False)
    assert post(client, body, genuine(json.loads(BEAT)["id"], body)) == 422
    can_be_shown(client)


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=st.binary(max_size=300) | JSON.map(lambda v: json.dumps(v).encode()))
def test_signed_bytes_of_no_sense_are_4xx(client: TestClient, body: bytes) -> None:
    assert 400 <= post(client, body, genuine("evt_1", body)) < 500


NAMES = ["webhook-id", "webhook-timestamp", "webhook-signature", "authorization", "content-type"]
TEXT = st.binary(max_size=40).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")) | (
    st.sampled_from([b"", b" ", b"9" * 5000, b"-1", b"1e9", b"NaN", b"v1,", b"v1," + b"A" * 9999,
                     b"v1a,AAAA", b"v2,x", b"v1,x " * 999, b"Bearer ", b"Bearer", b"\xff\xfe",
                     "٣٤".encode(), b"0x10", b"1_000", b"+5", b"\xb2\xb3", b"\0"])
)  # fmt: skip


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(name=st.sampled_from(NAMES[:4]), value=TEXT, twice=st.booleans(), gone=st.booleans())
@example(name="webhook-timestamp", value=b"9" * 5000, twice=False, gone=False)
@example(name="webhook-timestamp", value=b"\xb2", twice=False, gone=False)
def test_any_malformed_header_is_401(
    client: TestClient, name: str, value: bytes, *, twice: bool, gone: bool
) -> None:
    headers = [(k.encode(), v.encode()) for k, v in genuine(json.loads(FLAG)["id"], FLAG).items()]
    right = dict(headers)[name.encode()]
    if value.strip(b" \t") == right:
        return
    rest = headers if twice else [pair for pair in headers if pair[0] != name.encode()]
    wrong = [] if gone and not twice else [(name.encode(), value)]
    assert post(client, FLAG, [*rest, *wrong]) == 401


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30)), st.binary(max_size=20))
def test_headers_of_whatever_form_are_not_genuine(headers: dict[str, str], body: bytes) -> None:
    assert not is_genuine(headers, body, [KEY], time.time())


def test_thousands_of_signatures_are_not_reckoned(client: TestClient) -> None:
    headers = genuine("evt_1", b"x" * 200_000)
    right = headers["webhook-signature"]
    headers["webhook-signature"] = " ".join(["v1," + "A" * 44] * 5000 + [right])
    start = time.process_time()
    assert post(client, b"x" * 200_000, headers) == 401
    assert time.process_time() - start < 1


def _whsec(length: int) -> str:
    return "whsec_" + base64.b64encode(bytes(length)).decode()


@pytest.mark.parametrize(
    "key", ["", "whsec_", "whpk_", "secret", _whsec(1), _whsec(23), _whsec(65), "whsec_%%%",
            "whpk_" + _whsec(31)[6:], "whsk_" + _whsec(32)[6:], "whsec_ä"]
)  # fmt: skip
def test_a_key_that_is_empty_short_or_none_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(SinkError) as caught:
        Access((KEY, key))
    assert not key.partition("_")[2] or key not in str(caught.value)
    with pytest.raises(ValueError, match="a key"):
        check_key(key)


def test_an_empty_key_signs_for_nobody_even_where_it_got_through() -> None:
    with pytest.raises(SinkError):
        Access(())
    assert not is_genuine(genuine("evt_1", b""), b"", [], time.time())


@pytest.mark.parametrize("token", ["", " ", "\n", "ä", "a\x00b"])
def test_a_token_that_is_none_is_refused_at_the_start(token: str) -> None:
    with pytest.raises(SinkError, match="a bearer token"):
        Access((KEY,), token)


def test_the_head_of_the_senders_audit_is_kept_and_one_that_shrinks_is_seen() -> None:
    inbox = open_inbox(":memory:")
    with TestClient(receiver(inbox, Access((KEY,), TOKEN), time.time)) as client:

        def sender() -> dict[str, Any]:
            shown = client.get("/worklist", headers={"authorization": f"Bearer {TOKEN}"})
            (found,) = shown.json()["senders"]
            return dict(found)

        def beat(head: str | None) -> int:
            pulse = pulse_of(BEATING, "sender", Backlog(0, 0, None, None), datetime.now(UTC), head)
            return post(client, pulse.body, genuine(pulse.event_id, pulse.body))

        assert beat(None) == 200
        assert (sender()["audit_head"], sender()["audit_holds"]) == (None, None)
        for lines in (3, 3, 5):
            assert beat(f"{lines}:" + f"{lines}" * 64) == 200
        assert (sender()["audit_head"], sender()["audit_holds"]) == ("5:" + "5" * 64, True)
        for wrong in ("5:x", "x", "-1:" + "5" * 64, "5:" + "5" * 65):
            assert beat(wrong) == 422
        beat("4:" + "4" * 64)
        assert sender()["audit_holds"] is False
    inbox.close()
