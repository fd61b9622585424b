"""Flags over MLLP: to a real listener, in TLS, and to listeners that misbehave."""

import dataclasses
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.conftest import new_id
from tests.delivery.hl7_servers import Log, control_of, framed, mllp_endpoint, mllp_server
from tests.delivery.servers import misbehaving
from wsi_ai.core.flags import STATEMENT
from wsi_ai.delivery.events import message_of
from wsi_ai.delivery.messages import Tls
from wsi_ai.delivery.sinks.mllp import MllpSink, open_sink
from wsi_ai.errors import Refused, SinkError, TryAgain
from wsi_ai.testing import SinkContract, example_body, example_message

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    with mllp_server() as log:
        yield log


@pytest.fixture
def sink(log: Log) -> MllpSink:
    return open_sink(mllp_endpoint(log.port))


class TestMllpSink(SinkContract):
    @pytest.fixture
    def sink(self, sink: MllpSink) -> MllpSink:
        return sink


def test_what_is_raised_amended_and_taken_back_arrives_under_one_order(
    log: Log, sink: MllpSink
) -> None:
    log.got.clear()
    name = new_id()
    raised = example_body(name)
    lowered = raised | {"action": "amend", "revision": 2, "supersedes": message_of(raised).event_id}
    back = lowered | {
        "action": "retract", "revision": 3, "retraction_reason": "slide_misidentified"
    }  # fmt: skip
    for flag in (raised, lowered, back):
        sink.send(message_of(flag), NOW)
    assert log.values("OBR", 3) == [name] * 3
    assert log.values("OBR", 25) == ["P", "C", "C"]
    assert log.values("OBX", 11) == ["P", "C", "W"]
    assert log.values("MSH", 5) == ["TRIAGE"] * 3
    assert len(set(log.values("MSH", 10))) == 3
    assert all(STATEMENT in str(message) for message in log.got)


def test_the_same_message_has_the_same_control_id(log: Log, sink: MllpSink) -> None:
    log.got.clear()
    message = example_message(new_id())
    for _ in range(2):
        sink.send(message, NOW)
    first, second = log.values("MSH", 10)
    assert first == second


def test_what_would_end_a_message_in_a_text_does_not(log: Log, sink: MllpSink) -> None:
    """A form feed, as in nextgenhealthcare/connect#329, and MLLP's own signs."""
    log.got.clear()
    awkward = "page\x0cbreak \x1c\r\x0b and | ^ & ~ \\ end"
    flag = example_body(new_id())
    flag["result"] = flag["result"] | {"explanation": awkward}
    sink.send(message_of(flag), NOW)
    (message,) = log.got
    assert str(message).count("\x0c") == 0
    assert len(list(message)) == 12


def server_context(folder: Path, leaf: str = "server") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.load_cert_chain(folder / f"{leaf}.pem", folder / f"{leaf}.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_in_tls_both_sides_show_who_they_are(authority: Path) -> None:
    tls = Tls(authority / "ca.pem", authority / "client.pem", authority / "client.key")
    with (
        mllp_server(context=server_context(authority)) as log,
        closing(open_sink(mllp_endpoint(log.port, tls))) as sink,
    ):
        assert sink.send(example_message(new_id()), NOW).reference
        assert sink.check(NOW).startswith("MLLP: a connection was made (TLSv1.")
    assert len(log.got) == 1


@pytest.mark.parametrize(
    ("leaf", "trusted", "shown"),
    [("impostor", "ca", True), ("server", "stranger", True), ("server", "ca", False)],
)
def test_a_wrong_certificate_on_either_side_gets_nothing(
    authority: Path, leaf: str, trusted: str, *, shown: bool
) -> None:
    own = (authority / "client.pem", authority / "client.key") if shown else (None, None)
    tls = Tls(authority / f"{trusted}.pem", *own)
    with (
        mllp_server(context=server_context(authority, leaf)) as log,
        closing(open_sink(mllp_endpoint(log.port, tls))) as sink,
        pytest.raises(TryAgain),
    ):
        sink.send(example_message(new_id()), NOW)
    assert log.got == []


def test_the_check_sees_that_our_certificate_is_not_taken(authority: Path) -> None:
    with (
        mllp_server(context=server_context(authority)) as log,
        closing(open_sink(mllp_endpoint(log.port, Tls(authority / "ca.pem")))) as sink,
        pytest.raises(TryAgain, match="certificate"),
    ):
        sink.check(NOW)


def test_without_tls_only_this_machine_is_sent_to() -> None:
    with pytest.raises(SinkError, match="mllps only"):
        open_sink(mllp_endpoint(2575, host="engine.example"))
    with pytest.raises(SinkError, match="nothing after it"):
        open_sink(dataclasses.replace(mllp_endpoint(1), url="mllp://127.0.0.1/flags"))


def outcome(answer: Any, times: int = 1) -> Exception | None:
    """Of the last of several attempts at one message."""
    message, last = example_message(new_id()), None
    with mllp_server(answer) as log, closing(open_sink(mllp_endpoint(log.port))) as sink:
        for _ in range(times):
            try:
                sink.send(message, NOW)
            except (TryAgain, Refused) as error:
                last = error
            else:
                last = None
    return last


@pytest.mark.parametrize(
    ("code", "times", "kind"),
    [("AA", 1, None), ("CA", 1, None), ("AR", 1, Refused), ("CR", 1, Refused),
     ("AE", 1, TryAgain), ("AE", 4, TryAgain), ("AE", 5, Refused), ("CE", 5, Refused)],
)  # fmt: skip
def test_an_acknowledgement_means_what_its_code_says(
    code: str, times: int, kind: type[Exception] | None
) -> None:
    error = outcome(lambda message: message.create_ack(code), times)
    assert isinstance(error, kind) if kind else error is None


HEAD = "MSH|^~\\&|E|F|WSI_AI|N|20260101||ACK|1|P|2.5.1\r"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (f"{HEAD}MSA|AA|CONTROL\r", True),
        (f"{HEAD}MSA|AA|CONTROL", True),
        (f"{HEAD}MSA|AA|CONTROL|pr\u00e9sent\u00e9\r".replace("\r", "\n"), True),
        (f"{HEAD}MSA|AA|ANOTHER\r", False),
        (f"{HEAD}MSA|AA\r", False),
        (f"{HEAD}MSA||CONTROL\r", False),
        (f"{HEAD}MSA|XX|CONTROL\r", False),
        (HEAD, False),
        ("HTTP/1.1 400 Bad Request", False),
        ("", False),
    ],
)
def test_only_an_acknowledgement_of_this_very_message_counts(text: str, *, taken: bool) -> None:
    """That of an earlier one may come instead: nextgenhealthcare/connect#1314 and #2071."""
    error = outcome(lambda message: framed(text, control_of(message)))
    assert (error is None) == taken
    assert isinstance(error, TryAgain) or taken


def failing(script: Any, timeout_s: float = 5.0) -> None:
    with misbehaving(script) as base:
        endpoint = mllp_endpoint(int(base.rpartition(":")[2]), timeout_s=timeout_s)
        with closing(open_sink(endpoint)) as sink, pytest.raises(TryAgain):
            sink.send(example_message(new_id()), NOW)


def test_an_engine_that_hangs_up_is_asked_again() -> None:
    failing(lambda caller: caller.recv(10))


def test_an_engine_that_never_answers_costs_no_more_than_its_time() -> None:
    def wait(caller: Any) -> None:
        while caller.recv(65536):
            pass

    failing(wait, timeout_s=0.3)


def test_an_acknowledgement_without_end_is_none() -> None:
    def pour(caller: Any) -> None:
        caller.recv(65536)
        while True:
            caller.sendall(b"\x0bMSH|" * 4096)

    failing(pour)


def test_nobody_listens() -> None:
    with closing(open_sink(mllp_endpoint(1))) as sink, pytest.raises(TryAgain):
        sink.send(example_message(new_id()), NOW)
    with closing(open_sink(mllp_endpoint(1))) as sink, pytest.raises(TryAgain):
        sink.check(NOW)
