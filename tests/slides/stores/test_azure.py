"""The same on Azure's store, as azurite stands in for it."""

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import numpy as np
import obstore
import pytest

from tests.delivery.servers import missing
from wsi_ai.results.bucket.objects import check_bucket
from wsi_ai.slides.inputs import find_slides
from wsi_ai.slides.places import ReaderIo
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.stores.address import object_address
from wsi_ai.slides.stores.store import open_store

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, known to everybody."""


def program() -> str | None:
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = own / "wsi-ai-tests" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    return os.environ.get("WSI_AI_AZURITE") or (
        str(kept) if kept.exists() else shutil.which("azurite-blob")
    )


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    azurite = program()
    if azurite is None:
        missing("no azurite-blob: npm ci in tests/slides/stores/azurite")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = ["--silent", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    command = [azurite, *quiet, "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        make_container(f"http://127.0.0.1:{port}/{ACCOUNT}", "slides")
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"
    finally:
        server.kill()
        server.wait()


def make_container(endpoint: str, name: str) -> None:
    """Waits until the server is up."""
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(_signed(endpoint, name)).close()
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _signed(endpoint: str, name: str) -> urllib.request.Request:
    """By a shared key, as Azure's pages describe it."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = ["PUT", *[""] * 11, *(f"{k}:{v}" for k, v in headers.items())]
    text = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"])
    digest = hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    headers["Content-Length"] = "0"
    url = f"{endpoint}/{name}?restype=container"
    return urllib.request.Request(url, method="PUT", headers=headers)


def test_slides_in_azure_are_those_on_the_disk(
    endpoint: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", endpoint)
    monkeypatch.setenv("WSI_AI_STAGING", str(tmp_path))
    container = open_store(object_address("az://slides"))
    for slide in sorted((shared_data / "slides").iterdir()):
        content = slide.read_bytes()
        vouched = {"sha256": hashlib.sha256(content).hexdigest()}
        obstore.put(container, f"in/{slide.name}", content, attributes=vouched)
        at = Path(f"az://slides/in/{slide.name}")
        for reader_io in ReaderIo:
            with open_slide(slide) as here, open_slide(at, reader_io=reader_io) as there:
                assert here.info == there.info
                place = (0, here.info.size.width // 3, here.info.size.height // 3, 300, 300)
                np.testing.assert_array_equal(here.read(*place), there.read(*place))
    assert len(find_slides([Path("az://slides/in")]).slides) == 3
    check_bucket(container, "out")
