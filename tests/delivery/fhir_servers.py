"""A real FHIR R4 engine on loopback, and servers that behave as real ones sometimes do."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response

from tests.delivery.parts import credentials
from tests.delivery.servers import HOST, missing, serving
from wsi_ai.delivery.messages import Credentials, Endpoint, Tls

FOLDER = Path(__file__).parent / "fhir_engine"
JSON = "application/fhir+json"


def _installed() -> Path | None:
    """Where ``.ci/run`` installed the engine: outside the tree, in the very versions."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "wsi-ai-tests" / "fhir-engine"
    lock = place / "package-lock.json"
    same = lock.exists() and lock.read_bytes() == (FOLDER / lock.name).read_bytes()
    return place if same and (place / "node_modules/@medplum/fhir-router").is_dir() else None


@contextmanager
def fhir_engine(**environment: str) -> Iterator[str]:
    """Medplum's R4 engine; its base URL."""
    node, place = shutil.which("node"), _installed()
    if node is None or place is None:
        missing("no FHIR engine: needs Node.js 20, and npm ci as in .ci/run")
        return
    program = place / "server.mjs"  # its modules are found beside it
    aside = program.with_suffix(f".{os.getpid()}")
    shutil.copy(FOLDER / program.name, aside)
    aside.replace(program)
    with subprocess.Popen(
        [node, program], stdout=subprocess.PIPE, env=os.environ | environment
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://{HOST}:{int(server.stdout.readline())}/fhir/R4"
        finally:
            server.kill()


def fhir_endpoint(
    base: str, held: Credentials | None = None, tls: Tls | None = None, timeout_s: float = 5.0
) -> Endpoint:
    return Endpoint(
        name="lab",
        url=f"fhir+{base}",
        trusts=frozenset({"RXX"}),
        credentials=held or credentials(),
        tls=tls or Tls(),
        timeout_s=timeout_s,
        allowed_hosts=frozenset({"127.0.0.1", "localhost"}),
    )


Before = Callable[[dict[str, Any]], None]


@contextmanager
def in_front_of(base: str, before: Before) -> Iterator[str]:
    """Hands requests on to the engine; ``before`` sees each bundle first, and may act itself."""
    app = FastAPI()
    with httpx.Client() as client:

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def hand_on(path: str, request: Request) -> Response:
            body = await request.body()
            if request.method == "POST":
                before(json.loads(body))
            url = f"{base}/{path}".rstrip("/")
            told = client.request(
                request.method, url, params=request.query_params, content=body,
                headers={"content-type": JSON},
            )  # fmt: skip
            return Response(told.content, told.status_code, media_type=JSON)

        with serving(app) as front:
            yield front


@contextmanager
def answering(
    get: Any, post: Any = None, status: int = 200, asked: int = 200, **tls: Any
) -> Iterator[str]:
    """A server that says the same to every question, and to every bundle."""
    app = FastAPI()

    def told(content: Any, code: int) -> Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return Response(body, code, media_type=JSON)

    @app.get("/{path:path}")
    async def read(path: str) -> Response:
        return told(get, asked)

    @app.post("/{path:path}")
    async def write(path: str) -> Response:
        return told(post, status)

    with serving(app, **tls) as base:
        yield base
