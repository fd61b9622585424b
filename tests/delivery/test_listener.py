"""Image notices over MLLP: kept before they are acknowledged, and from nobody who may be anyone."""

import asyncio
import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7.client import MLLPClient

from tests.delivery.conftest import new_id
from tests.delivery.servers import HOST
from wsi_ai.delivery.formats.hl7v2.notice import ImageNotice
from wsi_ai.delivery.listener import Door, listen
from wsi_ai.delivery.posting import make_outbox
from wsi_ai.delivery.withdrawal import take_back
from wsi_ai.errors import OutputError, SinkError
from wsi_ai.testing import example_body
from wsi_ai.testing.example_flags import IDENTITY


@dataclass
class Kept:
    """Notices in memory; ``refuse`` makes it a full disk."""

    available_ones: list[ImageNotice] = field(default_factory=list)
    withdrawn_ones: list[ImageNotice] = field(default_factory=list)
    refuse: Exception | None = None

    def available(self, notice: ImageNotice) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.available_ones.append(notice)

    def withdrawn(self, notice: ImageNotice) -> None:
        self.withdrawn_ones.append(notice)


@contextmanager
def listening(kept: Kept, **door: object) -> Iterator[int]:
    ready, ports = threading.Event(), list[int]()
    stops = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def opened(port: int) -> None:
            ports.append(port)
            ready.set()

        task = asyncio.ensure_future(listen(Door(HOST, 0, **door), kept, opened))  # type: ignore[arg-type]
        stops.append(lambda: loop.call_soon_threadsafe(task.cancel))
        await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield ports[0]
    stops[0]()
    thread.join(10)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def message(
    control: str = "M1",
    state: str = "Y",
    slide: str = "TEMP1&DAWM^S26-1-A1-1&LIMS",
    profile: str = "DPOW-IMAGE-NOTIF^IHE",
    trigger: str = "OML^O21^OML_O21",
) -> bytes:
    spm = ["SPM", "1", slide, "", "TISS", *[""] * 15, state]
    orc = ["ORC", "SC", *[""] * 36, "S26-1^LIMS"]
    lines = [
        f"MSH|^~\\&|PACS|RXX|WSI_AI|N|20260101120000||{trigger}|{control}|P|2.5.1|||||||||{profile}",
        "PID|1||1^^^RXX^MR||X^Y",
        "|".join(orc),
        "OBR|1|||1^Digital AP Study^L",
        "|".join(spm),
        "OBX|1|RP|StudyInstanceUID^^DCM||1.2.3||||||F",
        "OBX|2|RP|SeriesInstanceUID^^DCM||1.2.3.4||||||F",
    ]
    return "\r".join([*lines, ""]).encode()


def sent(port: int, *contents: bytes) -> list[hl7.Message]:
    """By another program's client; its acknowledgements."""
    with MLLPClient(HOST, port) as client:
        return [hl7.parse(client.send_message(one).strip(b"\x0b\x1c\r")) for one in contents]


def code(answer: hl7.Message) -> str:
    return str(answer.segment("MSA")(1))


def test_an_image_that_is_there_is_kept_and_acknowledged(kept: Kept) -> None:
    with listening(kept) as port:
        (answer,) = sent(port, message())
    assert (code(answer), str(answer.segment("MSA")(2))) == ("AA", "M1")
    assert str(answer.segment("MSH")(9)) == "ORL^O22^ORL_O22"
    assert [str(answer.segment("MSH")(n)) for n in (3, 4, 5, 6)] == ["WSI_AI", "N", "PACS", "RXX"]
    assert kept.available_ones == [
        ImageNotice("M1", "S26-1-A1-1", "S26-1", True, "1.2.3", "1.2.3.4")
    ]


def test_an_image_that_is_no_longer_the_slides_is_withdrawn(kept: Kept) -> None:
    with listening(kept) as port:
        (answer,) = sent(port, message(state="N", slide="S26-1-A1-1"))
    assert code(answer) == "AA"
    assert [one.slide_id for one in kept.withdrawn_ones] == ["S26-1-A1-1"]
    assert kept.available_ones == []


@pytest.mark.parametrize("error", [OutputError("full"), RuntimeError("a mistake of ours")])
def test_what_cannot_be_kept_is_asked_for_again(kept: Kept, error: Exception) -> None:
    kept.refuse = error
    with listening(kept) as port:
        (answer,) = sent(port, message())
        kept.refuse = None
        (again,) = sent(port, message())
    assert (code(answer), code(again)) == ("AE", "AA")
    assert "mistake" not in str(answer)
    assert len(kept.available_ones) == 1


@pytest.mark.parametrize(
    "content",
    [
        message(state=""),
        message(state="X"),
        message(slide=""),
        message(control=""),
        message(profile="DPOW-SLIDE^IHE"),
        message(trigger="ORU^R01^ORU_R01"),
        message(trigger="ZZZ^Z99"),
        message().replace(b"SPM|1", b"SPM|1\rSPM|2"),
        message().replace(b"S26-1-A1-1", "S26-\u00e9".encode("latin-1")),
        b"GET / HTTP/1.1",
        b"MSH",
        b"",
        b"\x00" * 100,
    ],
)
def test_what_is_no_notice_is_rejected_and_the_next_one_is_taken(
    kept: Kept, content: bytes
) -> None:
    with listening(kept) as port:
        refused, taken = sent(port, content, message())
    assert (code(refused), code(taken)) == ("AR", "AA")
    assert len(kept.available_ones) == 1
    assert b"S26" not in str(refused).encode()


def test_a_message_without_end_is_cut_off_and_others_are_served(kept: Kept) -> None:
    def pour(caller: socket.socket) -> None:
        caller.sendall(b"\x0b")
        for _ in range(1600):
            caller.sendall(b"x" * (1 << 16))

    with listening(kept, most_bytes=1 << 16) as port:
        with socket.create_connection((HOST, port), timeout=10) as caller:
            caller.sendall(b"\x0b" + b"x" * (1 << 16) + b"x")
            assert b"MSA|AR||the message is too long" in caller.recv(4096)
        with (
            socket.create_connection((HOST, port), timeout=10) as caller,
            pytest.raises(ConnectionError),
        ):
            pour(caller)
        (answer,) = sent(port, message())
    assert code(answer) == "AA"


def test_a_peer_that_is_silent_is_let_go(kept: Kept) -> None:
    with (
        listening(kept, idle_s=0.2) as port,
        socket.create_connection((HOST, port), timeout=10) as caller,
    ):
        caller.sendall(b"\x0bMSH|")
        assert caller.recv(100) == b""


def test_a_burst_of_a_hundred_is_acknowledged_within_a_second_each(kept: Kept) -> None:
    took_s: list[float] = []

    def one(number: int, port: int) -> None:
        start = time.perf_counter()
        (answer,) = sent(port, message(f"M{number}"))
        took_s.append(time.perf_counter() - start)
        assert code(answer) == "AA"

    with listening(kept) as port:
        threads = [threading.Thread(target=one, args=(n, port)) for n in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(kept.available_ones) == len(took_s) == 100
    assert max(took_s) < 1


def test_it_does_not_listen_to_everyone(authority: Path) -> None:
    own = {"certificate": authority / "server.pem", "key": authority / "server.key"}
    for door in ({}, own, {"authority": authority / "ca.pem"}):
        with pytest.raises(SinkError, match="this machine only"):
            Door("0.0.0.0", 2575, **door)
    assert Door("0.0.0.0", 2575, **own, authority=authority / "ca.pem").context()
    missing = Door(HOST, 0, authority / "none.pem")
    with pytest.raises(SinkError, match="cannot be read"):
        missing.context()


def test_a_peer_without_a_certificate_of_ours_says_nothing(kept: Kept, authority: Path) -> None:
    tls = {"certificate": authority / "server.pem", "key": authority / "server.key",
           "authority": authority / "ca.pem"}  # fmt: skip

    def say(context: ssl.SSLContext, port: int) -> bytes:
        try:
            with (
                socket.create_connection((HOST, port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=HOST) as caller,
            ):
                caller.sendall(b"\x0b" + message() + b"\x1c\r")
                return caller.recv(4096)
        except OSError:
            return b""

    with listening(kept, **tls) as port:
        stranger = ssl.create_default_context(cafile=authority / "ca.pem")
        assert say(stranger, port) == b""
        ours = ssl.create_default_context(cafile=authority / "ca.pem")
        ours.load_cert_chain(authority / "client.pem", authority / "client.key")
        assert b"MSA|AA|M1" in say(ours, port)
    assert len(kept.available_ones) == 1


def test_a_withdrawn_image_takes_the_flags_of_its_slide_back_and_no_others(tmp_path: Path) -> None:
    def flag(slide_id: str, accession: str) -> dict[str, Any]:
        identity = dataclasses.replace(IDENTITY, slide_id=slide_id, accession=accession)
        return example_body(new_id(), identity=identity)

    gone, other, twin = flag("A1-1", "S26-1"), flag("A1-2", "S26-1"), flag("A1-1", "S26-2")
    notice = ImageNotice("M1", "A1-1", "S26-1", False, None, None)
    with make_outbox(str(tmp_path / "outbox.db")) as outbox:
        for one in (gone, other, twin, example_body(new_id(), identity=None)):
            outbox.put(one, ())
        assert take_back(outbox, notice, "RXX") == 1
        assert take_back(outbox, notice, "RXX") == 0
        taken = outbox.flag(gone["flag_id"]) or {}
        assert taken["retraction_reason"] == "slide_misidentified"
        for stays in (other, twin):
            assert (outbox.flag(stays["flag_id"]) or {})["action"] == "raise"
        assert take_back(outbox, dataclasses.replace(notice, accession=None), "RXX") == 1
