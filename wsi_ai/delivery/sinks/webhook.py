"""CloudEvents over HTTPS, signed as Standard Webhooks say; the default road."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from wsi_ai.delivery.messages import Endpoint, Held, Message, Pulse, Receipt, Secret
from wsi_ai.delivery.sinks.addresses import check_endpoint
from wsi_ai.delivery.sinks.http import (
    UNAUTHORIZED,
    Answer,
    Exchange,
    Request,
    bearer_of,
    refusal,
)
from wsi_ai.delivery.sinks.signing import signed_headers
from wsi_ai.delivery.succession import from_json as held_from_json
from wsi_ai.errors import Conflict, Paused, Refused, SinkError, TryAgain
from wsi_ai.schemas.reading import from_json

_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_MOST_ANSWER_BYTES = 1 << 16
_MOST_HELD_BYTES = 1 << 28
_CONFLICT = 409
_NOT_LET_IN = frozenset({401, 403})


def open_sink(endpoint: Endpoint) -> "WebhookSink":
    """For https://, and http:// on this machine.  Raises SinkError."""
    check_endpoint(endpoint, filter(None, (endpoint.url, endpoint.read_back)))
    if not endpoint.credentials.signing:
        raise SinkError(f"sink {endpoint.name}: no signing key; a flag is never sent unsigned")
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


class WebhookSink:
    """See ``contracts.Sink``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._exchange = Exchange(endpoint)
        self._keys: tuple[Secret, ...] = ()
        self._bearer: Secret | None = None

    def check_keys(self) -> None:
        """Read keys and token.  Raises SinkError where one is missing or malformed."""
        self._keys = tuple(read() for read in self.endpoint.credentials.signing)
        signed_headers("evt_0", b"", self._keys, datetime.now(UTC))
        bearer = self.endpoint.credentials.bearer
        self._bearer = bearer_of(bearer()) if bearer else None

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
        told = self._request(Request("GET", self.endpoint.read_back), at)
        try:
            held = {line["flag_id"]: held_from_json(line) for line in from_json(told)["flags"]}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise TryAgain("the receiver's list of flags cannot be read") from None
        return held

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        held = self.held(at)
        if held is not None:
            return f"its list of flags can be read; it has {len(held)}"
        answer = self._ask(Request("OPTIONS", self.endpoint.url))
        if answer.status in _NOT_LET_IN:
            raise refusal(answer, at)
        return f"it answers ({answer.status} to OPTIONS); name read_back to have more looked at"

    def close(self) -> None:
        self._exchange.close()

    def _read_keys_again(self) -> None:
        try:
            self.check_keys()
        except SinkError as error:
            raise Paused(str(error)) from None

    def _deliver(self, parcel: "_Parcel", at: datetime) -> bytes:
        try:
            return self._post(parcel, at)
        except Paused as refused:
            if refused.code != UNAUTHORIZED:
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
        return self._request(Request("POST", self.endpoint.url, headers, parcel.body), at)

    def _request(self, request: Request, at: datetime) -> bytes:
        answer = self._ask(request)
        if answer.is_ok:
            return answer.body
        if answer.status == _CONFLICT and (held := _held(answer.body)) is not None:
            raise Conflict("the receiver holds another answer", _CONFLICT, held)
        raise refusal(answer, at)

    def _ask(self, request: Request) -> Answer:
        headers = dict(request.headers)
        if self._bearer is not None:
            headers["Authorization"] = f"Bearer {self._bearer.value.decode()}"
        self._exchange.begin()
        most = _MOST_ANSWER_BYTES if request.body else _MOST_HELD_BYTES
        return self._exchange.ask(Request(request.method, request.url, headers, request.body), most)


def _held(told: bytes) -> Held | None:
    """What an answer says that the receiver holds; ``None`` where it says nothing of that."""
    try:
        return held_from_json(from_json(told)["held"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
