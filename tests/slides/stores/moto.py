"""An S3 server that others wrote: moto, in an environment of its own, for its pins are not ours."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.delivery.servers import missing

_START_S = 60


@contextmanager
def moto_server() -> Iterator[str]:
    """Its URL; skips where there is none."""
    program = os.environ.get("WSI_AI_MOTO_SERVER") or shutil.which("moto_server")
    if program is None:
        missing("no moto_server: python -m venv V; V/bin/pip install 'moto[server]==5.2.5'")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    server = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL, **quiet
    )
    try:
        _until_up(url)
        yield url
    finally:
        server.kill()
        server.wait()


def make_bucket(url: str, name: str) -> None:
    """moto believes anyone."""
    request = urllib.request.Request(f"{url}/{name}", method="PUT")
    urllib.request.urlopen(request).close()


def _until_up(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/moto-api/").close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("moto_server did not start")
