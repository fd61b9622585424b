"""One request and its answer, in the time that the attempt has left; and what a status means."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpcore

from wsi_ai.delivery.messages import Endpoint, Secret
from wsi_ai.delivery.sinks.guarded import NO_ANSWER, Deadline, no_answer, open_pool
from wsi_ai.errors import DeliveryError, Paused, Refused, SinkError, TryAgain

UNAUTHORIZED = 401
_OK, _SERVER = range(200, 300), 500
_TRY_AGAIN = frozenset({408, 425, 429})
_LONGEST_WAIT_S = 86_400.0
"""More than the outbox ever waits: what lies beyond is one to it."""
_REFUSED = frozenset({400, 409, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """By name, in small letters."""
    body: bytes = field(repr=False)

    @property
    def is_ok(self) -> bool:
        return self.status in _OK


class Exchange:
    """Requests to one endpoint.  Used by one thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._timeout_s = endpoint.timeout_s
        self._deadline = Deadline()
        self._pool = open_pool(endpoint, self._deadline)

    def begin(self) -> None:
        """An attempt: the requests that follow have the endpoint's timeout together."""
        self._deadline.start(self._timeout_s)

    def ask(self, request: Request, most_bytes: int) -> Answer:
        """Whatever the status is.  Raises TryAgain where no answer comes, or one without an end."""
        try:
            with self._pool.stream(
                request.method,
                request.url,
                headers=list(request.headers.items()),
                content=request.body,
            ) as response:
                body = _read(response, most_bytes)
        except NO_ANSWER as error:
            raise no_answer(error) from None
        return Answer(response.status, _headers(response), body)

    @contextmanager
    def stream(self, request: Request) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """The same of an answer of any length: its head, and its body piece by piece, for each of
        which there is the endpoint's timeout anew.  Raises TryAgain, in the block too."""
        self.begin()
        try:
            with self._pool.stream(
                request.method, request.url, headers=list(request.headers.items())
            ) as response:
                yield Answer(response.status, _headers(response), b""), self._pieces(response)
        except NO_ANSWER as error:
            raise no_answer(error) from None

    def _pieces(self, response: httpcore.Response) -> Iterator[bytes]:
        for piece in response.iter_stream():
            yield piece
            self.begin()

    def close(self) -> None:
        self._pool.close()


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {n.decode("ascii", "replace").lower(): v.decode("ascii", "replace")
            for n, v in response.headers}  # fmt: skip


def _read(response: httpcore.Response, most: int) -> bytes:
    read = bytearray()
    for piece in response.iter_stream():
        read += piece
        if len(read) > most:
            raise TryAgain("the answer has no end", response.status)
    return bytes(read)


def refusal(answer: Answer, at: datetime) -> DeliveryError:
    """What a status other than 2xx means.  Only one that is about this very flag refuses it: all
    others, redirects too, are about the endpoint, and must not cost a flag."""
    code = answer.status
    message = f"the receiver answered {code}"
    if code in _TRY_AGAIN or code >= _SERVER:
        return TryAgain(message, code, _retry_after_s(answer, at))
    return Refused(message, code) if code in _REFUSED else Paused(message, code)


def _retry_after_s(answer: Answer, at: datetime) -> float | None:
    text = answer.headers.get("retry-after", "").strip()
    try:
        wait_s = float(text) if text.isdecimal() else _until(text, at)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None  # anything may stand in a header
    return min(max(0.0, wait_s), _LONGEST_WAIT_S)


def _until(text: str, at: datetime) -> float:
    return (parsedate_to_datetime(text) - at).total_seconds()


def bearer_of(token: Secret) -> Secret:
    """A bearer token that fits into a header.  Raises SinkError."""
    text = token.value.decode("ascii", "replace").strip()
    if not text or not text.isascii() or not text.isprintable():
        raise SinkError("a bearer token has printable ASCII signs, and at least one")
    return Secret(text.encode())
