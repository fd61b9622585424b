"""Credentials come from the environment, and are renewed while a run goes on."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.stand_in_runs import write_slide
from wsi_ai.errors import TransportError
from wsi_ai.slides.places import ReaderIo
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing import ObjectStore

AT = Path("s3://slides/a/one.tif")


@contextmanager
def hands_out_tokens(lasting: timedelta) -> Iterator[tuple[str, list[str]]]:
    """As a container platform does: a new one each time, with its end."""
    given: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

        def do_GET(self) -> None:
            given.append(f"token-{len(given)}")
            body = json.dumps(
                {
                    "AccessKeyId": "of-the-container",
                    "SecretAccessKey": "word",
                    "Token": given[-1],
                    "Expiration": (datetime.now(UTC) + lasting).strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/token", given
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def container(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """The environment of a container, whose tokens last a minute."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "authorization").write_text("Bearer of-the-pod")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "authorization"))
    with hands_out_tokens(timedelta(minutes=1)) as (url, given):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        yield given


def test_a_token_of_a_minute_is_renewed_while_a_slide_is_read(
    tmp_path: Path, store: ObjectStore, container: list[str]
) -> None:
    path = write_slide(tmp_path / "one.tif")
    store.put("slides/a/one.tif", path.read_bytes())
    with open_slide(AT, reader_io=ReaderIo.RANGES) as slide:
        first = len(container)
        for n in range(4):
            time.sleep(0.12)  # no sooner is another one asked for
            slide.read(0, 128 * n, 128 * n, 32, 32)
    assert first >= 1
    assert len(container) > first


def test_a_token_that_ran_out_is_no_fault_of_the_slide(
    tmp_path: Path, store: ObjectStore, container: list[str]
) -> None:
    store.put("slides/a/one.tif", write_slide(tmp_path / "one.tif").read_bytes())
    with open_slide(AT, reader_io=ReaderIo.RANGES) as slide:
        store.faults.always = "ExpiredToken"
        with pytest.raises(TransportError, match="ran out") as caught:
            slide.read(0, 0, 0, 32, 32)
    assert "token-" not in str(caught.value)
