"""A strict double of a Sectra PACS: the image analysis API, as its public SDK shows it.

It refuses what the real one may let pass: a request without its version or token, a result outside
its slide, a change without the version that is changed.  What it does on a stale version (409) and
which fields it holds back without ``includePHI`` are assumptions.
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

from wsi_ai.testing.sectra_data import Slide, files_of, wrong_in

BASE = "/SectraPathologyServer/external/imageanalysis/v1"
_JSON = "application/json"
_PHI = ("accessionNumber", "accessionNumberIssuer", "studyInstanceUid", "seriesInstanceUid",
        "lisSlideId", "examId", "examDateTime")  # fmt: skip
_EXTENDED = "bodyPart", "examCode", "examDescription", "stationName", "priority"

Answer = tuple[int, str, bytes, Mapping[str, str]]
"""Status, content type, body, further headers."""


class NotAllowed(Exception):
    """Why a request is refused."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


@dataclass
class SectraPacs:
    """What the PACS has, and what it was asked for."""

    slides: list[Slide] = field(default_factory=list)
    user: str = "wsi-ai"
    password: str = "p:ss/word%"
    api_version: str = "1.10"
    life_s: int = 3600
    """Of a token."""
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    """Those that are taken now: of the stand-alone kind, and of invocations."""
    before: Callable[[str, str], None] = lambda method, path: None
    """Called before each request is looked at, to do something meanwhile."""
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _given: int = 0

    def results_on(self, slide_id: str) -> list[dict[str, Any]]:
        """What a person sees on the slide."""
        return [one for one in self.results.values() if one["slideId"] == slide_id]

    def callback(self) -> dict[str, str]:
        """What an app is handed to call back with; its token lives with the invocation."""
        return {"url": self.url, "token": self._new_token("call")}

    def expire_tokens(self) -> None:
        self.tokens.clear()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        parts = urlsplit(target)
        path = parts.path.removeprefix(BASE) if parts.path.startswith(BASE) else "/elsewhere"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.before(method, path)
        with self._lock:
            self.requests.append((method, path))
            try:
                return self._answer(method, path, asked, headers, body)
            except NotAllowed as error:
                self.refusals.append(f"{method} {error.status}: {error.why}")
                return error.status, _JSON, json.dumps({"message": error.why}).encode(), {}

    def _answer(
        self,
        method: str,
        path: str,
        asked: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        if path == "/elsewhere":
            raise NotAllowed(404, "another path")
        version = headers.get("X-Sectra-ApiVersion", "")
        if not re.fullmatch(r"\d+\.\d+", version):
            raise NotAllowed(400, "no X-Sectra-ApiVersion")
        if _numbers(version) > _numbers(self.api_version):
            raise NotAllowed(400, "a newer version of the API is asked for")
        if (method, path) == ("POST", "/token"):
            return self._token(asked, headers, body)
        if headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise NotAllowed(401, "no token that is taken")
        for known, pattern, answer in self._routes():
            if known == method and (found := re.fullmatch(pattern, path)):
                content = answer([unquote(part) for part in found.groups()], asked, body)
                return content if isinstance(content, tuple) else _json(200, content)
        raise NotAllowed(404, "no such path")

    def _routes(self) -> Iterator[tuple[str, str, Callable[..., Any]]]:
        results = r"/applications/([^/]+)/results"
        yield "GET", "/info", lambda *_: self._info()
        yield "GET", r"/slides/([^/]+)/info", lambda names, asked, _: self._shown(names[0], asked)
        yield "GET", r"/requests/([^/]+)/images/info", lambda n, a, _: self._case(n[0], a)
        yield "GET", r"/slides/([^/]+)/files", lambda n, *_: self._files(n[0])
        yield "GET", r"/images/([^/]+)_files/(\d+)/(\d+)_(\d+)\.jpg", lambda n, *_: self._tile(n)
        yield "GET", rf"{results}/slide/([^/]+)", lambda n, *_: self.results_on(self._id(n[1]))
        yield "POST", rf"{results}/?", lambda names, _, body: self._store(body)
        yield "GET", rf"{results}/(\d+)", lambda n, *_: self._result(int(n[1]))
        yield "PUT", rf"{results}/(\d+)", lambda n, _, body: self._replace(int(n[1]), body)
        yield "PUT", r"/slides/([^/]+)/qualityControl", lambda n, _, b: self._put_quality(n[0], b)

    def _info(self) -> dict[str, str]:
        return {"apiVersion": self.api_version, "softwareVersion": "4.2.0"}

    def _token(self, asked: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Answer:
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if headers.get("Authorization") != f"Basic {pair}":
            raise NotAllowed(401, "wrong user or password")
        if body != b"grant_type=client_credentials" or not asked.get("applicationId"):
            raise NotAllowed(400, "not how a token is asked for")
        token = {"access_token": self._new_token("alone"), "token_type": "Bearer"}
        return _json(200, token | {"expires_in": self.life_s})

    def _new_token(self, kind: str) -> str:
        self._given += 1
        token = f"{kind}-{self._given}"
        self.tokens.add(token)
        return token

    def _slide(self, slide_id: str) -> Slide:
        for slide in self.slides:
            if slide.slide_id == slide_id:
                return slide
        raise NotAllowed(404, "no such slide")

    def _id(self, slide_id: str) -> str:
        return self._slide(slide_id).slide_id

    def _shown(self, slide_id: str, asked: Mapping[str, str]) -> dict[str, Any]:
        return _allowed(self._slide(slide_id).info, asked)

    def _case(self, accession: str, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        found = [one for one in self.slides if one.accession == accession]
        if issuer := asked.get("accessionNumberIssuer"):
            found = [one for one in found if one.issuer == issuer]
        if not found:
            raise NotAllowed(404, "no such case")
        return [_allowed(one.info, asked) for one in found]

    def _files(self, slide_id: str) -> Answer:
        kind, content, where = files_of(self._slide(slide_id))
        return 200, kind, content, where

    def _tile(self, names: list[str]) -> Answer:
        slide, (level, col, row) = self._slide(names[0]), map(int, names[1:])
        side = 256 << max(0, max(slide.width, slide.height).bit_length() - level)
        if level > max(slide.width, slide.height).bit_length():
            raise NotAllowed(404, "no such level")
        if col * side >= slide.width or row * side >= slide.height:
            raise NotAllowed(404, "no such tile")
        file = BytesIO()
        Image.new("RGB", (256, 256), (200, 80, 140)).save(file, "JPEG")
        return 200, "image/jpeg", file.getvalue(), {}

    def _result(self, number: int) -> dict[str, Any]:
        if number not in self.results:
            raise NotAllowed(404, "no such result")
        return self.results[number]

    def _store(self, body: bytes) -> Answer:
        result = self._checked(body)
        if "id" in result or "versionId" in result:
            raise NotAllowed(400, "a new result has no id and no version")
        number = len(self.results) + 1
        self.results[number] = result | {"id": number, "versionId": "v1"}
        return _json(201, self.results[number])

    def _replace(self, number: int, body: bytes) -> dict[str, Any]:
        before, result = self._result(number), self._checked(body)
        if result.get("id") != number or "versionId" not in result:
            raise NotAllowed(400, "which version of which result?")
        if result["versionId"] != before["versionId"]:
            raise NotAllowed(409, "stale versionId")
        if result["slideId"] != before["slideId"]:
            raise NotAllowed(400, "a result stays on its slide")
        version = f"v{int(before['versionId'][1:]) + 1}"
        self.results[number] = result | {"versionId": version}
        return self.results[number]

    def _checked(self, body: bytes) -> dict[str, Any]:
        try:
            result = json.loads(body)
            complaint = wrong_in(result, self._slide(result["slideId"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NotAllowed(400, "no result") from None
        if complaint:
            raise NotAllowed(400, complaint)
        return dict(result)

    def _put_quality(self, slide_id: str, body: bytes) -> dict[str, Any]:
        slide, asked = self._slide(slide_id), json.loads(body)
        quality = asked["qualityControl"]
        if quality["versionId"] != slide.quality["versionId"]:
            raise NotAllowed(409, "stale versionId")
        slide.quality = {"status": quality["status"], "versionId": "qc1"}
        return {}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _allowed(info: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    hidden = () if asked.get("includePHI", "").lower() == "true" else _PHI
    short = () if asked.get("scope") == "extended" else _EXTENDED
    return {name: value for name, value in info.items() if name not in (*hidden, *short)}


def _json(status: int, content: Any) -> Answer:
    return status, _JSON, json.dumps(content).encode(), {}


@contextmanager
def serving_pacs(pacs: SectraPacs, context: Any = None) -> Iterator[SectraPacs]:
    """On this machine, in TLS with an ``ssl.SSLContext``; ``pacs.url`` is where its API is."""

    class PacsRequest(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None: ...

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = pacs.answer(self.command, self.path, self.headers, body)  # type: ignore[arg-type]
            status, kind, content, more = answer
            self.send_response(status)
            versions = {
                "X-Sectra-ApiVersion": pacs.api_version,
                "X-Sectra-SoftwareVersion": "4.2.0",
            }
            sizes = {"Content-Type": kind, "Content-Length": str(len(content))}
            for name, value in {**sizes, **versions, **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

    server = ThreadingHTTPServer(("127.0.0.1", 0), PacsRequest)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if context is None else "https"
    pacs.url = f"{scheme}://127.0.0.1:{server.server_address[1]}{BASE}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
