"""What users of other programs met, tried on ours; each names the thread."""

import socket
from pathlib import Path

import pytest

from tests.delivery.hl7_servers import framed, mllp_endpoint
from tests.delivery.servers import HOST, misbehaving
from tests.delivery.test_listener import Kept, code, listening, message, sent
from tests.delivery.test_mllp import NOW
from tests.service.test_sectra_app import RELATED, saved
from wsi_ai.delivery.formats.hl7v2 import oru
from wsi_ai.delivery.sinks.mllp import open_sink
from wsi_ai.errors import TryAgain
from wsi_ai.testing import example_message

FLAG = "5c4d8e43-0000-4000-8000-000000000001"


@pytest.fixture
def kept() -> Kept:
    return Kept()


def answer_to(port: int, block: bytes) -> bytes:
    with socket.create_connection((HOST, port), timeout=10) as caller:
        caller.sendall(block)
        return caller.recv(4096)


@pytest.mark.parametrize(
    "before", [b"[2007-07-12 14:40 Thread-89]\n", b"\x0bhalf a message", b"\n"]
)
def test_what_stands_before_a_block_is_passed_over(
    kept: Kept,
    before: bytes,
) -> None:
    """nextgenhealthcare/connect#423: an application logs into its connection."""
    with listening(kept) as port:
        assert b"MSA|AA|M1" in answer_to(port, before + b"\x0b" + message() + b"\x1c\r")
    assert [one.slide_id for one in kept.available_ones] == ["S26-1-A1-1"]


@pytest.mark.parametrize("ends", [b"\r\r", b"\r\n", b"\n", b"\r\n\r\n"])
def test_blank_lines_and_other_ends_of_lines_end_no_message(
    kept: Kept,
    ends: bytes,
) -> None:
    """nextgenhealthcare/connect#407, johnpaulett/txHL7#10."""
    with listening(kept) as port:
        (answer,) = sent(port, message().replace(b"\r", ends))
    assert code(answer) == "AA"
    assert len(kept.available_ones) == 1


def test_a_line_end_inside_a_segment_is_refused_and_not_read_as_another_state(
    kept: Kept,
) -> None:
    """nextgenhealthcare/connect#1275: the fields behind it stand elsewhere."""
    with listening(kept) as port:
        (answer,) = sent(port, message().replace(b"|TISS|", b"|TISS\r|"))
    assert code(answer) == "AR"
    assert (kept.available_ones, kept.withdrawn_ones) == ([], [])


def test_a_slide_whose_name_has_msh_in_it_is_one_message(kept: Kept) -> None:
    """johnpaulett/python-hl7#39."""
    with listening(kept) as port:
        answer = answer_to(port, b"\x0b" + message(slide="MSH-26-MSH") + b"\x1c\r")
    assert b"MSA|AA" in answer
    assert kept.available_ones[0].slide_id == "MSH-26-MSH"


@pytest.mark.parametrize(
    ("declared", "name", "taken"),
    [
        ("", "A\u00e9", True),
        ("UNICODE UTF-8", "A\u00e9", True),
        ("8859/1", "A1", True),
        ("8859/1", "A\u00c3\u00a9", False),
        ("GB 18030-2000", "A\u00e9", False),
    ],
)
def test_signs_are_read_as_utf8_or_not_at_all(
    kept: Kept,
    declared: str,
    name: str,
    *,
    taken: bool,
) -> None:
    """GoogleCloudPlatform/mllp#21, panates/hl7v2#28: bytes of Latin-1 may be UTF-8 of another
    name."""
    encoding = "latin-1" if declared == "8859/1" else "utf-8"
    text = message(slide="S26-X").decode().replace("S26-X", name)
    lines = text.split("\r")
    header = lines[0].split("|")
    header[17] = declared
    content = "\r".join(["|".join(header), *lines[1:]]).encode(encoding)
    with listening(kept) as port:
        answer = answer_to(port, b"\x0b" + content + b"\x1c\r")
    assert (b"MSA|AA" in answer) is taken
    assert [one.slide_id for one in kept.available_ones] == ([name] if taken else [])


def test_an_acknowledgement_in_single_bytes_is_read_to_its_end() -> None:
    """johnpaulett/python-hl7#44, #17: the answer comes in several packets."""
    event = example_message(FLAG)
    control = oru.control_id(event.event_id)

    def drip(caller: socket.socket) -> None:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not caller.recv(65536).endswith(b"\x1c\r"):
            pass
        for sign in framed("MSH|^~\\&|A|B|C|D|20260101||ACK|1|P|2.5.1\rMSA|AA|CONTROL\r", control):
            caller.sendall(bytes([sign]))

    with misbehaving(drip) as base:
        sink = open_sink(mllp_endpoint(int(base.rpartition(":")[2])))
        assert sink.send(event, NOW).reference == control


def test_a_late_acknowledgement_is_not_that_of_the_next_message() -> None:
    """nextgenhealthcare/connect#1441, #2070."""

    def late(caller: socket.socket) -> None:
        caller.recv(65536)
        caller.sendall(framed("MSH|^~\\&|A|B|C|D|20260101||ACK|1|P|2.5.1\rMSA|AA|BEFORE\r"))

    with misbehaving(late) as base, pytest.raises(TryAgain, match="another message"):
        open_sink(mllp_endpoint(int(base.rpartition(":")[2]))).send(example_message(FLAG), NOW)


@pytest.mark.parametrize(
    "disposition",
    [
        b"Content-Disposition: attachment; filename=a.dcm\r\n",
        b'Content-Disposition: attachment; filename="a.dcm" ; size=1\r\n',
        b"content-disposition:attachment;filename=a.dcm\r\n",
        b"Content-Type: application/dicom\r\n",
    ],
)
def test_a_files_name_may_be_written_in_any_way_or_be_missing(
    tmp_path: Path, disposition: bytes
) -> None:
    """pillarjs/multiparty#244 and #175, aio-libs/aiohttp#13002."""
    body = b"--bnd\r\n" + disposition + b"\r\nABC\r\n--bnd--\r\n"
    path = saved(tmp_path, body, RELATED)
    assert path.name in ("a.dcm", "slide")
    assert path.read_bytes() == b"ABC"


@pytest.mark.parametrize("before", [b"", b"\r\n", b"a preamble\r\n"])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"an epilogue"])
def test_what_stands_around_the_parts_belongs_to_no_file(
    tmp_path: Path, before: bytes, after: bytes
) -> None:
    """nggit/tremolo#175."""
    part = b'--bnd\r\nContent-Disposition: attachment; filename="a.dcm"\r\n\r\nABC\r\n--bnd--'
    path = saved(tmp_path, before + part + after, RELATED, pieces=1)
    assert path.read_bytes() == b"ABC"
