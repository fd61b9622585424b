"""Questions to an archive, in TLS that is verified, over connections that threads share.

What fails on the way is asked again, and then is the slide's failure: a network that breaks off
must never look like a tile that cannot be read.
"""

import base64
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpcore

from wsi_ai.core.environment import from_environment
from wsi_ai.errors import SlideError
from wsi_ai.schemas.reading import Unreadable, content_of

BEARER, BASIC = "WSI_AI_DICOMWEB_BEARER", "WSI_AI_DICOMWEB_BASIC"
AUTHORITY = "WSI_AI_DICOMWEB_CA_FILE"
CERTIFICATE, KEY = "WSI_AI_DICOMWEB_CERT_FILE", "WSI_AI_DICOMWEB_KEY_FILE"
"""Of the first two, each names a secret: ``file:PATH`` or ``env:NAME``."""
_SECRET_BYTES = 1 << 16
_CONNECTIONS = 16
_STEP_S, _REQUEST_S = 20.0, 120.0
_WAITS_S = (0.2, 1.0, 3.0)
"""Before each further try."""
_OK, _PART, _GONE, _UNAUTHORIZED = range(200, 300), 206, (404, 410), 401
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)
Sleep = Callable[[float], None]


class NotThere(SlideError):
    """The archive answers, and has no such thing."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: bytes = field(repr=False)


class _TryAgain(Exception):
    """Says why."""


class Archive:
    """Threads may share it."""

    def __init__(self, sleep: Sleep = time.sleep) -> None:
        self._sleep = sleep
        self._authorization = _authorization()
        self._pool = httpcore.ConnectionPool(
            ssl_context=_context(),
            max_connections=_CONNECTIONS,
            keepalive_expiry=0.8,  # Orthanc closes what is idle for a second
        )

    def get(self, url: str, accept: str, most_bytes: int) -> Answer:
        """Raises NotThere, or SlideError where it cannot be had, after several tries."""
        why = ""
        for wait_s in (0.0, *_WAITS_S):
            if wait_s:
                self._sleep(wait_s)
            try:
                return self._judged(self._ask(url, accept, most_bytes))
            except _TryAgain as error:
                why = str(error)
        raise SlideError(f"{why}; run it again once the archive answers")

    def close(self) -> None:
        self._pool.close()

    def _ask(self, url: str, accept: str, most_bytes: int) -> Answer:
        headers = [("Accept", accept), *self._authorization.items()]
        timeout = {"connect": _STEP_S, "read": _STEP_S, "write": _STEP_S, "pool": _REQUEST_S}
        end = time.monotonic() + _REQUEST_S
        try:
            with self._pool.stream(
                "GET", url, headers=headers, extensions={"timeout": timeout}
            ) as response:
                body = _read(response, most_bytes, end)
                kinds = [v for n, v in response.headers if n.lower() == b"content-type"]
        except _BROKEN as error:
            raise _TryAgain(_words(error)) from None
        kind = kinds[0].decode("latin-1") if kinds else ""
        return Answer(response.status, kind, body)

    def _judged(self, answer: Answer) -> Answer:
        """An expired token is read anew once for each refusal: the file may have a new one."""
        code = answer.status
        if code == _PART:
            raise _TryAgain("the archive gives a part only")
        if code in _OK:
            return answer
        if code in _GONE:
            raise NotThere(f"the archive does not have it (it answered {code})")
        if code == _UNAUTHORIZED:
            self._authorization = _authorization()
        if code == _UNAUTHORIZED or code in _AGAIN:
            raise _TryAgain(f"the archive answered {code}")
        raise SlideError(f"the archive refuses: it answered {code}")


def _read(response: httpcore.Response, most: int, end: float) -> bytes:
    read = bytearray()
    for piece in response.iter_stream():
        read += piece
        if len(read) > most:
            raise SlideError(f"the archive's answer is larger than {most >> 20} MB")
        if time.monotonic() > end:
            raise _TryAgain("the archive's answer does not come to its end")
    return bytes(read)


def _words(error: Exception) -> str:
    below = error.__cause__ or error.__context__
    if isinstance(below, ssl.SSLCertVerificationError) or isinstance(
        error, ssl.SSLCertVerificationError
    ):
        return f"the archive's certificate is not trusted here; see {AUTHORITY}"
    if isinstance(error, httpcore.TimeoutException):
        return "the archive does not answer in time"
    if isinstance(error, httpcore.ConnectError):
        return "no connection to the archive"
    return "the connection to the archive broke off"


def _authorization() -> Mapping[str, str]:
    """Raises SlideError."""
    if (token := _secret(BEARER)) is not None:
        return {"Authorization": f"Bearer {token}"}
    if (pair := _secret(BASIC)) is not None:
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _secret(variable: str) -> str | None:
    place = from_environment(variable)
    if place is None:
        return None
    kind, _, name = place.partition(":")
    text: str | None = None
    if kind == "env":
        text = from_environment(name)
    elif kind == "file":
        with suppress(OSError, Unreadable, UnicodeDecodeError):
            text = content_of(Path(name), _SECRET_BYTES).decode().strip()
    if not text or not text.isprintable():
        raise SlideError(f"{variable} names no secret: file:PATH or env:NAME, of one line")
    return text


def _context() -> ssl.SSLContext:
    """Verifies, always.  Raises SlideError."""
    try:
        context = ssl.create_default_context(cafile=from_environment(AUTHORITY))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False
        if certificate := from_environment(CERTIFICATE):
            context.load_cert_chain(certificate, from_environment(KEY))
    except (OSError, ssl.SSLError):
        raise SlideError(f"certificates cannot be read: {AUTHORITY}, {CERTIFICATE}") from None
    return context
