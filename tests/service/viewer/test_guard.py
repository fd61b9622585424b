"""The viewer's address opens once, in one browser, and for no other web page."""

import hashlib
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.service.viewer.parts import shelf_of, write_jpeg_slide
from wsi_ai.service.viewer.guard import Guard
from wsi_ai.service.viewer.serve import bound, server_of
from wsi_ai.service.viewer.shelf import Shelf


@contextmanager
def served(shelf: Shelf) -> Iterator[Guard]:
    """On a thread of its own."""
    with bound(0) as listening:
        guard, server = server_of(shelf, listening)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield guard
        finally:
            server.should_exit = True
            thread.join()
            shelf.close()


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with served(shelf_of(tmp_path, [write_jpeg_slide(tmp_path / "s.tif")])) as running:
        yield running


def asked(
    guard: Guard, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    to = urlsplit(guard.address)
    connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=sent)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def entry(guard: Guard) -> str:
    to = urlsplit(guard.address)
    return f"{to.path}?{to.query}"


def cookie_of(guard: Guard) -> str:
    _, headers, _ = asked(guard, entry(guard))
    return headers["set-cookie"].partition(";")[0]


def test_the_address_opens_once_and_then_only_for_the_browser_that_opened_it(guard: Guard) -> None:
    assert asked(guard, "/")[0] == 403
    assert asked(guard, "/slides")[0] == 403
    status, headers, _ = asked(guard, entry(guard))
    assert status == 200
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert asked(guard, entry(guard))[0] == 403
    cookie = headers["set-cookie"].partition(";")[0]
    assert asked(guard, "/slides", cookie=cookie)[0] == 200
    assert asked(guard, entry(guard), cookie=cookie)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1"},
        {"host": "evil.example:80"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_another_web_page_is_refused_even_with_cookie_token_or_key(
    guard: Guard, headers: dict[str, str]
) -> None:
    assert asked(guard, entry(guard), **headers)[0] == 403
    cookie = cookie_of(guard)
    assert asked(guard, "/slides", cookie=cookie, **headers)[0] == 403
    path = urlsplit(guard.for_other_viewers).path + "/slides/1/iiif/info.json"
    status, answered, body = asked(guard, path, **headers)
    assert status == 403
    assert b"width" not in body
    assert "access-control-allow-origin" not in answered


def test_a_refused_request_does_not_spend_the_address(guard: Guard) -> None:
    assert asked(guard, entry(guard), host="evil.example")[0] == 403
    assert asked(guard, entry(guard), sec_fetch_site="cross-site")[0] == 403
    assert asked(guard, entry(guard))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_but_reading_is_answered(guard: Guard, method: str) -> None:
    assert asked(guard, "/slides", method, cookie=cookie_of(guard))[0] == 403


def test_other_viewers_have_an_address_of_their_own(guard: Guard) -> None:
    base = urlsplit(guard.for_other_viewers).path
    status, _, body = asked(guard, f"{base}/slides/1/iiif/info.json")
    assert status == 200
    assert f"{guard.for_other_viewers}/slides/1/iiif".encode() in body
    assert asked(guard, f"{base}/slides/1/deepzoom.dzi")[0] == 200
    assert asked(guard, "/open/wrong/slides/1/deepzoom.dzi")[0] == 403


@given(guess=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60))
def test_no_guess_is_taken_for_the_token_or_the_cookie(guess: str) -> None:
    guard = Guard(lambda *_: None, 8642)  # type: ignore[arg-type,return-value]
    scope = {"path": "/", "query_string": b"token=" + guess.encode("latin-1", "replace")}
    assert not guard._loopback.spends_token(scope)
    assert not guard._has_key({"path": f"/open/{guess}/slides"})


def test_a_port_in_use_is_passed_over(tmp_path: Path) -> None:
    with bound(0) as first:
        port = first.getsockname()[1]
        with bound(port) as second:
            assert second.getsockname()[1] != port
            assert second.getsockname()[0] == "127.0.0.1"


def test_what_is_sent_is_not_held_back_for_an_acknowledgement() -> None:
    """40 ms a tile, where asyncio does not know that the socket is TCP."""
    with bound(0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_the_vendored_files_are_those_whose_digest_is_kept() -> None:
    """``make vendor`` fetches and compares them."""
    folder = ROOT / "wsi_ai" / "service" / "viewer" / "static"
    lines = (folder / "openseadragon.sha256").read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
