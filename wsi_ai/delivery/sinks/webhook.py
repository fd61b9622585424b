"""CloudEvents over HTTPS, signed as Standard Webhooks say; the default road."""

import hashlib
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpcore

from wsi_ai.delivery.messages import Endpoint, Held, Message, Pulse, Receipt, Secret
from wsi_ai.delivery.sinks.addresses import check_url
from wsi_ai.delivery.sinks.guarded import Deadline, open_pool
from wsi_ai.delivery.sinks.signing import signed_headers
from wsi_ai.delivery.succession import from_json as held_from_json
from wsi_ai.errors import Conflict, DeliveryError, Paused, Refused, SinkError, TryAgain
from wsi_ai.schemas.reading import from_json

_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_MOST_ANSWER_BYTES = 1 << 16
_MOST_HELD_BYTES = 1 << 28
_NO_ANSWER = httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol
_OK, _UNAUTHORIZED, _SERVER = range(200, 300), 401, 500
_TRY_AGAIN = frozenset({408, 425, 429})
_LONGEST_WAIT_S = 86_400.0
"""More than the outbox ever waits: what lies beyond is one to it."""
_CONFLICT = 409
_REFUSED = frozenset({400, 409, 413, 415, 422})


def open_sink(endpoint: Endpoint) -> "WebhookSink":
    """For https://, and http:// on this machine.  Raises SinkError."""
    named = f"sink {endpoint.name}"
    for url in filter(None, (endpoint.url, endpoint.read_back)):
        check_url(url, named)
    parts = urlsplit(endpoint.url)
    if not parts.hostname:
        raise SinkError(f"{named}: its URL names no host")
    if parts.username or parts.password:
        raise SinkError(f"{named}: no user or password in a URL; name a bearer file")
    for url in filter(None, (endpoint.url, endpoint.read_back)):
        host = urlsplit(url).hostname or ""
        if urlsplit(url).scheme != "https" and not _is_loopback(host):
            raise SinkError(f"{named}: https only, unless the receiver is on this machine")
        if host not in endpoint.allowed_hosts:
            raise SinkError(f"{named}: its host is not among the allowed hosts")
    if not endpoint.credentials.signing:
        raise SinkError(f"{named}: no signing key; a flag is never sent unsigned")
    sink = WebhookSink(endpoint)
    sink.check_keys()
    return sink


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What is sent; all that is sent of one flag has one trace id (32 hexadecimal digits, W3C Trace
    Context), and each attempt an id of its own."""

    event_id: str
    trace_id: str
    body: bytes


def _checked(token: Secret) -> Secret:
    """A bearer token that fits into a header.  Raises SinkError."""
    text = token.value.decode("ascii", "replace")
    if not text or not text.isascii() or not text.isprintable():
        raise SinkError("a bearer token has printable ASCII signs, and at least one")
    return token


class WebhookSink:
    """See ``contracts.Sink``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._deadline = Deadline()
        self._pool = open_pool(endpoint, self._deadline)
        self._keys: tuple[Secret, ...] = ()
        self._bearer: Secret | None = None

    def check_keys(self) -> None:
        """Read keys and token.  Raises SinkError where one is missing or malformed."""
        self._keys = tuple(read() for read in self.endpoint.credentials.signing)
        signed_headers("evt_0", b"", self._keys, datetime.now(UTC))
        bearer = self.endpoint.credentials.bearer
        self._bearer = _checked(bearer()) if bearer else None

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contracts.Sink.send``.  After a 401, keys and token are read anew, once."""
        if not message.is_whole():
            raise Refused("its content is not what was kept")
        parcel = _Parcel(message.event_id, message.flag_id.replace("-", ""), message.body)
        answer = self._deliver(parcel, at)
        reference = hashlib.sha256(answer).hexdigest()[:16]
        return Receipt(message.flag_id, self.endpoint.name, reference, at, _held(answer))

    def beat(self, pulse: Pulse, at: datetime) -> None:
        """See ``contracts.HeartbeatSink.beat``."""
        self._deliver(_Parcel(pulse.event_id, pulse.event_id[-32:], pulse.body), at)

    def held(self, at: datetime) -> Mapping[str, Held] | None:
        """See ``contracts.Sink.held``."""
        if self.endpoint.read_back is None:
            return None
        told = self._request("GET", self.endpoint.read_back, {}, b"", at)
        try:
            held = {line["flag_id"]: held_from_json(line) for line in from_json(told)["flags"]}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise TryAgain("the receiver's list of flags cannot be read") from None
        return held

    def close(self) -> None:
        self._pool.close()

    def _read_keys_again(self) -> None:
        try:
            self.check_keys()
        except SinkError as error:
            raise Paused(str(error)) from None

    def _deliver(self, parcel: "_Parcel", at: datetime) -> bytes:
        try:
            return self._post(parcel, at)
        except Paused as refused:
            if refused.code != _UNAUTHORIZED:
                raise
            self._read_keys_again()
            return self._post(parcel, at)

    def _post(self, parcel: "_Parcel", at: datetime) -> bytes:
        headers = {
            "Content-Type": _CONTENT_TYPE,
            "Idempotency-Key": f'"{parcel.event_id}"',
            "traceparent": f"00-{parcel.trace_id}-{secrets.token_hex(8)}-00",
            **signed_headers(parcel.event_id, parcel.body, self._keys, at),
        }
        return self._request("POST", self.endpoint.url, headers, parcel.body, at)

    def _request(
        self, method: str, url: str, headers: dict[str, str], body: bytes, at: datetime
    ) -> bytes:
        if self._bearer is not None:
            headers["Authorization"] = f"Bearer {self._bearer.value.decode().strip()}"
        self._deadline.start(self.endpoint.timeout_s)
        most = _MOST_ANSWER_BYTES if method == "POST" else _MOST_HELD_BYTES
        try:
            named = list(headers.items())
            with self._pool.stream(method, url, headers=named, content=body) as response:
                told = _read(response, most)
        except (httpcore.TimeoutException, TimeoutError):
            raise TryAgain("no answer in time") from None
        except _NO_ANSWER as error:
            raise TryAgain(f"no answer: {type(error).__name__}") from None
        if response.status in _OK:
            return told
        if response.status == _CONFLICT and (held := _held(told)) is not None:
            raise Conflict("the receiver holds another answer", _CONFLICT, held)
        raise _refusal(response, at)


def _read(response: httpcore.Response, most: int) -> bytes:
    read = bytearray()
    for piece in response.iter_stream():
        read += piece
        if len(read) > most:
            raise TryAgain("the answer has no end", response.status)
    return bytes(read)


def _held(told: bytes) -> Held | None:
    """What an answer says that the receiver holds; ``None`` where it says nothing of that."""
    try:
        return held_from_json(from_json(told)["held"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _refusal(response: httpcore.Response, at: datetime) -> DeliveryError:
    """What a status other than 2xx means.  Only one that is about this very flag refuses it: all
    others, redirects too, are about the endpoint, and must not cost a flag."""
    code = response.status
    told = f"the receiver answered {code}"
    if code in _TRY_AGAIN or code >= _SERVER:
        return TryAgain(told, code, _retry_after_s(response, at))
    return Refused(told, code) if code in _REFUSED else Paused(told, code)


def _retry_after_s(response: httpcore.Response, at: datetime) -> float | None:
    headers = {name.lower(): value for name, value in response.headers}
    text = headers.get(b"retry-after", b"").decode("ascii", "replace").strip()
    try:
        wait_s = float(text) if text.isdecimal() else _until(text, at)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None  # anything may stand in a header
    return min(max(0.0, wait_s), _LONGEST_WAIT_S)


def _until(text: str, at: datetime) -> float:
    return (parsedate_to_datetime(text) - at).total_seconds()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
