"""A store of objects in memory, on loopback, with the faults of real ones.

It speaks as much of S3 as wsi_ai uses, and believes any signature.

>>> with object_store() as store:                      # doctest: +SKIP
...     store.objects["slides/a.svs"] = Stored(b"...")
...     store.faults.refuse = [503, 503]
...     os.environ["AWS_ENDPOINT_URL"] = store.url
"""

import hashlib
import html
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 503: "SlowDown"}
_META = "x-amz-meta-"


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object."""

    content: bytes
    meta: Mapping[str, str] = field(default_factory=dict)
    changed_s: float = field(default_factory=time.time)

    @property
    def e_tag(self) -> str:
        return f'"{hashlib.md5(self.content, usedforsecurity=False).hexdigest()}"'


@dataclass(slots=True)
class Faults:
    """What goes wrong.  Lists are used up, one for each request."""

    latency_s: float = 0.0
    refuse: list[int | str | None] = field(default_factory=list)
    """Status codes, or S3's error codes, which come with 403; ``None`` is answered."""
    always: int | str | None = None
    cut: list[int] = field(default_factory=list)
    """Of so many bytes of a body, the connection breaks off; 0 leaves it whole."""
    ignore_conditions: bool = False
    """As some appliances do: If-Match and If-None-Match mean nothing to it."""
    ignore_ranges: bool = False
    """As simple web servers do: all of it comes, whatever was asked for."""
    bare_tags_in_lists: bool = False
    """Without their quotes, as Azure has them there."""


@dataclass(slots=True)
class ObjectStore:
    """The server's state; objects by ``bucket/key``."""

    url: str = ""
    objects: dict[str, Stored] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method, and bucket and key, of each."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self, method: str) -> int:
        return sum(one == method for one, _ in self.requests)

    def put(self, place: str, content: bytes) -> None:
        """With its SHA-256, as a careful uploader would."""
        digest = hashlib.sha256(content).hexdigest()
        self.objects[place] = Stored(content, {"sha256": digest})


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Started, and stopped at the end."""
    store = ObjectStore()

    class OwnRequests(_S3Requests):
        state = store

    server = ThreadingHTTPServer(("127.0.0.1", 0), OwnRequests)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _S3Requests(BaseHTTPRequestHandler):
    state: ObjectStore
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        place, query = self._asked()
        if self._is_refused(place):
            return
        if "list-type" in query:
            self._list(place, query)
            return
        found = self._found(place)
        if found is not None:
            self._send_object(found)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        place, _ = self._asked()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._is_refused(place):
            return
        meta = {k[len(_META) :]: v for k, v in self._headers().items() if k.startswith(_META)}
        with self.state.lock:
            before = self.state.objects.get(place)
            if not self._may_write(before):
                self._refuse(412)
                return
            self.state.objects[place] = kept = Stored(body, meta)
        self._answer(200, b"", {"ETag": kept.e_tag})

    def do_DELETE(self) -> None:
        place, _ = self._asked()
        if not self._is_refused(place):
            self.state.objects.pop(place, None)
            self._answer(204, b"", {})

    def do_POST(self) -> None:
        """DeleteObjects, the only one that is asked for."""
        place, _ = self._asked()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self._is_refused(place):
            return
        keys = [html.unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", body)]
        for key in keys:
            self.state.objects.pop(f"{place.partition('/')[0]}/{key}", None)
        said = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{said}</DeleteResult>".encode(), {})

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        place = unquote(parts.path).lstrip("/")
        self.state.requests.append((self.command, place))
        time.sleep(self.state.faults.latency_s)
        return place, parse_qs(parts.query, keep_blank_values=True)

    def _headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _is_refused(self, place: str) -> bool:
        faults = self.state.faults
        wrong = faults.refuse.pop(0) if faults.refuse else faults.always
        if wrong is None:
            return False
        self._refuse(wrong)
        return True

    def _found(self, place: str) -> Stored | None:
        found = self.state.objects.get(place)
        if found is None:
            self._refuse(404)
            return None
        wanted = self._headers().get("if-match")
        if wanted not in (None, found.e_tag) and not self.state.faults.ignore_conditions:
            self._refuse(412)
            return None
        return found

    def _may_write(self, before: Stored | None) -> bool:
        if self.state.faults.ignore_conditions:
            return True
        headers = self._headers()
        if headers.get("if-none-match") == "*" and before is not None:
            return False
        wanted = headers.get("if-match")
        return wanted is None or (before is not None and wanted == before.e_tag)

    def _send_object(self, found: Stored) -> None:
        headers = {
            "ETag": found.e_tag,
            "Last-Modified": formatdate(found.changed_s, usegmt=True),
            **{f"{_META}{name}": value for name, value in found.meta.items()},
        }
        size = len(found.content)
        asked = _RANGE.fullmatch(self.headers.get("Range") or "")
        if asked is None or self.state.faults.ignore_ranges:
            self._answer(200, found.content, headers)
            return
        start, end = int(asked[1]), min(int(asked[2] or size - 1), size - 1) + 1
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._answer(206, memoryview(found.content)[start:end], headers)

    def _list(self, place: str, query: Mapping[str, list[str]]) -> None:
        bucket, prefix = place.strip("/"), query.get("prefix", [""])[0]
        delimiter = query.get("delimiter", [""])[0]
        contents, folders = list[str](), dict[str, None]()
        for name in sorted(self.state.objects):
            key = name.removeprefix(f"{bucket}/")
            if key == name or not key.startswith(prefix):
                continue
            below = key[len(prefix) :]
            if delimiter and delimiter in below:
                folders[prefix + below.partition(delimiter)[0] + delimiter] = None
            else:
                bare = self.state.faults.bare_tags_in_lists
                contents.append(_listed(key, self.state.objects[name], bare=bare))
        inside = "".join(contents) + "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{inside}</ListBucketResult>"
        self._answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _refuse(self, wrong: int | str) -> None:
        status = wrong if isinstance(wrong, int) else 403
        code = _CODES.get(wrong, "Error") if isinstance(wrong, int) else wrong
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self._answer(status, body, {})

    def _answer(self, status: int, body: bytes | memoryview, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.state.faults.cut.pop(0) if self.state.faults.cut and status < 300 else 0
        self.wfile.write(body[:cut] if cut else body)
        if cut:
            self.wfile.flush()
            self.close_connection = True


def _listed(key: str, one: Stored, *, bare: bool) -> str:
    tag = one.e_tag.strip('"') if bare else one.e_tag
    when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(one.changed_s))
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{when}</LastModified>"
        f"<ETag>{escape(tag)}</ETag><Size>{len(one.content)}</Size></Contents>"
    )
