"""What a receiver, a name server or a settings file can do: nothing that ends a relay."""

import ipaddress
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.delivery.parts import KEY, credentials, webhook_endpoint
from tests.delivery.servers import misbehaving, read_request, serving
from wsi_ai.delivery.messages import Endpoint, Receipt, Tls
from wsi_ai.delivery.registry import open_sink as open_by_scheme
from wsi_ai.delivery.routes import load_endpoints, secret_at
from wsi_ai.delivery.sinks.addresses import check_url, is_forbidden
from wsi_ai.delivery.sinks.guarded import Deadline, GuardedBackend
from wsi_ai.delivery.sinks.webhook import open_sink
from wsi_ai.errors import DeliveryError, Paused, Refused, SinkError, TryAgain
from wsi_ai.testing import example_message

EXAMPLES = int(os.environ.get("WSI_AI_FUZZ", "80"))
NOW = datetime.now(UTC)
FORBIDDEN_V4 = ["169.254.169.254", "169.254.0.1", "100.100.100.200", "0.0.0.0", "224.0.0.1",
                "192.0.0.192", "168.63.129.16"]  # fmt: skip


@pytest.fixture(scope="module")
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """A receiver that answers with the bytes in the list."""
    bytes_of: list[bytes] = [b""]

    def play(caller: socket.socket) -> None:
        read_request(caller)
        caller.sendall(bytes_of[0])

    with misbehaving(play) as base:
        yield base, bytes_of


HEADER = st.sampled_from(
    [b"Retry-After", b"Content-Length", b"Transfer-Encoding", b"Location", b"Connection",
     b"Content-Encoding", b"WWW-Authenticate", b"X"]
)  # fmt: skip
DATES = st.sampled_from(
    [b"Fri, 31 Dec 9999 23:59:59 -2359", b"Mon, 01 Jan 0001 00:00:00 +2359", b"1e999", b"nan",
     b"Mon, 99 Foo 99999 99:99:99 GMT", b"9" * 5000, b"-1", "٣".encode(), b"Infinity", b"1, 2",
     b"Thu, 01 Jan 1970 00:00:00 -99999999999999", b"0", b"12", b", , ,", b"chunked", b"gzip"]
)  # fmt: skip
VALUES = DATES | st.binary(max_size=30) | st.integers(-(10**30), 10**30).map(lambda n: b"%d" % n)
ANSWERS = st.builds(
    lambda status, lines, body: (
        b"HTTP/1.1 %s\r\n" % status
        + b"".join(b"%s: %s\r\n" % line for line in lines)
        + b"\r\n"
        + body
    ),
    st.integers(0, 999).map(lambda n: b"%d X" % n) | st.binary(max_size=20),
    st.lists(st.tuples(HEADER, VALUES), max_size=5),
    st.binary(max_size=100),
) | st.binary(max_size=200)


@settings(max_examples=EXAMPLES, deadline=None)
@given(answer=ANSWERS)
@example(
    answer=b"HTTP/1.1 503 X\r\nRetry-After: Thu, 01 Jan 99999999999999999999 00:00:00 GMT\r\n\r\n"
)
@example(answer=b"HTTP/1.1 429 X\r\nRetry-After: " + b"9" * 5000 + b"\r\n\r\n")
def test_any_answer_whatever_is_a_receipt_or_one_of_three_errors(
    answering: tuple[str, list[bytes]], answer: bytes
) -> None:
    base, bytes_of = answering
    bytes_of[0] = answer
    with closing(open_sink(webhook_endpoint(base, timeout_s=0.3))) as sink:
        try:
            got: object = sink.send(example_message(str(uuid.uuid4())), NOW)
        except DeliveryError as error:
            got = error
    assert isinstance(got, Receipt | TryAgain | Paused | Refused)
    if isinstance(got, TryAgain) and got.after_s is not None:
        assert 0 <= got.after_s <= 86_400


@given(st.sampled_from(FORBIDDEN_V4), st.integers(0, 2**16 - 1))
def test_an_ipv6_address_is_as_forbidden_as_the_one_of_ipv4_in_it(v4: str, more: int) -> None:
    n, parts = int(ipaddress.ip_address(v4)), ipaddress.ip_address(v4).packed
    rows = [
        f"::ffff:{v4}", f"::ffff:0:{v4}", f"64:ff9b::{v4}", f"2002:{n >> 16:x}:{n & 0xFFFF:x}::1",
        f"2001:0:{n >> 16:x}:{n & 0xFFFF:x}:{more:x}::1",
        f"2001:0:505:505:{more:x}:ffff:{(n >> 16) ^ 0xFFFF:x}:{(n & 0xFFFF) ^ 0xFFFF:x}",
        f"2001:db8::{more:x}:0:5efe:{v4}", f"2001:db8::{more:x}:200:5efe:{v4}",
        str(ipaddress.IPv6Address(bytes.fromhex("0064ff9b0001") + parts[:2] + b"\0" + parts[2:]
                                  + bytes(5))),
    ]  # fmt: skip
    if v4 != "0.0.0.0":
        rows.append(f"::{v4}")
    assert [row for row in rows if not is_forbidden(row)] == []


def test_addresses_that_embed_a_hospitals_own_stay_allowed() -> None:
    for address in ("::1", "::ffff:10.1.2.3", "64:ff9b::10.0.0.1", "2002:a00:1::", "fd12::a9fe:1",
                    "2001:db8::a9fe:a9fe", "127.0.0.1", "10.0.0.1"):  # fmt: skip
        assert not is_forbidden(address), address


def test_a_name_server_that_does_not_answer_takes_no_more_than_the_timeout() -> None:
    never = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        never.wait(20)
        return []

    deadline = Deadline()
    backend = GuardedBackend(frozenset({"slow.example"}), deadline, lookup)
    start = time.monotonic()
    deadline.start(0.3)
    with pytest.raises(httpcore.ConnectTimeout):
        backend.connect_tcp("slow.example", 443)
    assert time.monotonic() - start < 1
    never.set()


@pytest.mark.parametrize("host", ["x" * 64, "a..b", "x" * 300, "\ud800"])
def test_a_name_that_is_none_has_no_address(host: str) -> None:
    deadline = Deadline()
    deadline.start(5)
    with pytest.raises(httpcore.ConnectError, match="no such host"):
        GuardedBackend(frozenset({host}), deadline).connect_tcp(host, 443)


URLS = [
    "https://h:99999/", "https://h:-1/", "https://h:x/", "https://h:0/", "https://[::1/",
    "https://[::g]/", f"https://{'x' * 64}/", "https://a..b/", "https://-a.b/", "https://a b/",
    "https://h/\n", "https://h\t/", "https://exämple.org/", f"https://{'a.' * 200}b/",
    "https://h/\u202e", "https://h\x00/",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_cannot_be_is_refused_when_it_is_read(tmp_path: Path, url: str) -> None:
    with pytest.raises(SinkError, match="its URL has"):
        load_endpoints([url])
    table = tmp_path / "sinks.toml"
    for line in (f"url = {url!a}", f"url = 'https://h/'\nread_back = {url!a}"):
        row = line.replace("'", '"').replace("\\x", "\\u00")
        table.write_text(f'[[sink]]\nname = "a"\ntrusts = ["RXX"]\n{row}\n')
        with pytest.raises(SinkError):
            load_endpoints([str(table)])


@settings(max_examples=200)
@given(st.text(max_size=30) | st.from_regex(r"https://[^/]{1,20}(:[0-9]{1,7})?/.{0,5}"))
def test_any_url_is_refused_or_one_that_can_be_asked_for(url: str) -> None:
    try:
        check_url(url, "x")
    except SinkError:
        return
    parts = httpcore.URL(url)
    assert parts.target is not None
    if parts.scheme in (b"https", b"http") and parts.host:
        parts.host.decode("ascii").encode("idna")


@pytest.mark.parametrize("timeout", ["nan", "inf", "0", "-1", "61", "'5'"])
def test_a_timeout_that_is_none_is_refused_when_the_file_is_read(
    tmp_path: Path, timeout: str
) -> None:
    table = tmp_path / "sinks.toml"
    table.write_text(
        f'[[sink]]\nname = "a"\nurl = "https://h/"\ntrusts = ["RXX"]\ntimeout_s = {timeout}\n'
    )
    with pytest.raises(SinkError, match="timeout_s"):
        load_endpoints([str(table)])


@pytest.mark.parametrize("token", ["a\nb", "a\r\nX: y", "ä", "\x00", "a\x7f"])
def test_a_token_that_fits_into_no_header_is_refused_at_the_start_and_not_shown(token: str) -> None:
    endpoint = webhook_endpoint("https://127.0.0.1", held=credentials(KEY, bearer=token))
    with pytest.raises(SinkError) as caught:
        open_sink(endpoint)
    assert token not in str(caught.value)


def test_an_empty_token_file_and_a_pipe_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "key").write_text(KEY)
    os.mkfifo(tmp_path / "pipe")
    table = tmp_path / "sinks.toml"
    table.write_text(
        f'[[sink]]\nname = "a"\nurl = "https://h/"\ntrusts = ["RXX"]\n'
        f'signing_keys = ["file:{tmp_path}/key"]\nbearer = "file:{tmp_path}/empty"\n'
    )
    (endpoint,) = load_endpoints([str(table)])
    with pytest.raises(SinkError, match="bearer token"):
        open_by_scheme(endpoint)
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SinkError, match="is a pipe or a device"):
            secret_at(f"file:{place}")()


def _certificate(folder: Path, *, san: bool) -> Tls:
    """Of an authority of its own, for localhost; its name in the common name alone, or rightly."""
    now, keys = datetime.now(UTC), [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    for n, (name, key) in enumerate(zip((root_name, leaf_name), keys, strict=True)):
        made = (
            x509.CertificateBuilder(root_name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now.replace(year=now.year - 1))
            .not_valid_after(now.replace(year=now.year + 1))
            .add_extension(x509.BasicConstraints(ca=n == 0, path_length=None), critical=True)
        )
        if n and san:
            names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
            made = made.add_extension(names, critical=False)
        text = made.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / ("ca.pem", "leaf.pem")[n]).write_bytes(text)
    key_text = keys[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "leaf.key").write_bytes(key_text)
    return Tls(folder / "ca.pem")


@pytest.mark.parametrize("san", [True, False])
def test_a_certificate_that_names_its_host_in_the_common_name_alone_is_refused(
    tmp_path: Path, *, san: bool
) -> None:
    app, tls = FastAPI(), _certificate(tmp_path, san=san)

    @app.post("/flags")
    def take() -> None: ...

    files = {"ssl_certfile": tmp_path / "leaf.pem", "ssl_keyfile": tmp_path / "leaf.key"}
    with serving(app, **files) as base:
        url = base.replace("127.0.0.1", "localhost") + "/flags"
        endpoint = Endpoint("x", url, None, credentials(KEY), tls, 5.0,
                            allowed_hosts=frozenset({"localhost"}))  # fmt: skip
        with closing(open_sink(endpoint)) as sink:
            if san:
                assert sink.send(example_message(str(uuid.uuid4())), NOW)
                return
            with pytest.raises(TryAgain):
                sink.send(example_message(str(uuid.uuid4())), NOW)
