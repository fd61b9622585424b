"""HL7 v2 over MLLP, in TLS: a message, and the receiver's own acknowledgement of it.

A connection for each message: many engines serve one at a time, and one that is kept open would
keep the others out.
"""

import ssl
from collections import Counter
from datetime import datetime
from urllib.parse import urlsplit

import httpcore

from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.formats.event import event_of
from wsi_ai.delivery.formats.hl7v2 import acknowledgement, oru
from wsi_ai.delivery.formats.hl7v2.text import NotHl7
from wsi_ai.delivery.messages import Endpoint, Message, Receipt
from wsi_ai.delivery.sinks.addresses import SECURE, check_endpoint, refuse_heartbeat
from wsi_ai.delivery.sinks.guarded import (
    NO_ANSWER,
    Deadline,
    GuardedBackend,
    context_of,
    no_answer,
)
from wsi_ai.errors import Refused, SinkError, TryAgain

START, END = b"\x0b", b"\x1c\x0d"
_MOST_ANSWER_BYTES = 1 << 16
_SILENCE_S = 0.5
_MOST_ERRORS = 5
"""An engine that answers AE as often does not do so for want of time."""


def open_sink(endpoint: Endpoint) -> "MllpSink":
    """For ``mllps://host:port``, and ``mllp://`` on this machine.  Raises SinkError."""
    check_endpoint(endpoint, [endpoint.url])
    refuse_heartbeat(endpoint, "an HL7 engine")
    parts = urlsplit(endpoint.url)
    if parts.port is None or parts.path.strip("/"):
        raise SinkError(f"sink {endpoint.name}: mllps://host:port, and nothing after it")
    return MllpSink(endpoint)


class MllpSink:
    """See ``contract.Sink``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        parts = urlsplit(endpoint.url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._deadline = Deadline()
        self._network = GuardedBackend(endpoint.allowed_hosts, self._deadline)
        self._context = context_of(endpoint) if parts.scheme in SECURE else None
        settings = endpoint.hl7
        self._receiver = oru.Receiver(settings.application, settings.facility)
        self._errors = Counter[str]()

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contract.Sink.send``."""
        if not message.is_whole():
            raise Refused("its content is not what was kept")
        content = oru.render(event_of(message), self._receiver)
        answer = self._ask(content)
        control = oru.control_id(message.event_id)
        try:
            code, about = acknowledgement.read(answer)
        except NotHl7:
            raise TryAgain("no acknowledgement: the answer is no HL7") from None
        if about != control:
            raise TryAgain("the acknowledgement is of another message")
        self._judge(code, message.event_id)
        return Receipt(message.flag_id, self.endpoint.name, control, at)

    def held(self, at: datetime) -> None:
        """See ``contract.Sink.held``: HL7 has no question for it."""

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        stream = self._open()
        try:
            self._wait_for_refusal(stream)
            tls = stream.get_extra_info("ssl_object")
        finally:
            stream.close()
        how = tls.version() if tls is not None else "no TLS, on this machine"
        return f"MLLP: a connection was made ({how}); nothing was sent"

    def _wait_for_refusal(self, stream: httpcore.NetworkStream) -> None:
        """In TLS 1.3 the other side refuses a certificate after the handshake: one that lets us in
        stays silent.  Raises TryAgain."""
        self._deadline.start(min(_SILENCE_S, self.endpoint.timeout_s))
        try:
            read = stream.read(1)
        except httpcore.TimeoutException:
            return
        except NO_ANSWER as error:
            raise no_answer(error) from None
        if not read:
            raise TryAgain("it hangs up at once: does it take our certificate?")

    def close(self) -> None: ...

    def _judge(self, code: str, event_id: str) -> None:
        if code in acknowledgement.ACCEPTED:
            self._errors.pop(event_id, None)
            return
        if code in acknowledgement.REJECTED:
            raise Refused(f"the receiver answered {code}")
        if code not in acknowledgement.IN_ERROR:
            raise TryAgain("no acknowledgement: its code is none")
        self._errors[event_id] += 1
        if self._errors[event_id] >= _MOST_ERRORS:
            del self._errors[event_id]
            raise Refused(f"the receiver answered {code} {_MOST_ERRORS} times")
        raise TryAgain(f"the receiver answered {code}")

    def _ask(self, content: bytes) -> bytes:
        stream = self._open()
        try:
            stream.write(START + content + END)
            return _block(stream)
        except NO_ANSWER as error:
            raise no_answer(error) from None
        finally:
            stream.close()

    def _open(self) -> httpcore.NetworkStream:
        self._deadline.start(self.endpoint.timeout_s)
        try:
            stream = self._network.connect_tcp(self._host, self._port)
            return stream if self._context is None else self._secured(stream, self._context)
        except NO_ANSWER as error:
            raise no_answer(error) from None

    def _secured(
        self, stream: httpcore.NetworkStream, context: ssl.SSLContext
    ) -> httpcore.NetworkStream:
        try:
            return stream.start_tls(context, self._host)
        except NO_ANSWER:
            stream.close()
            raise


def _block(stream: httpcore.NetworkStream) -> bytes:
    """What stands between MLLP's signs.  Raises TryAgain."""
    read = bytearray()
    while END not in read:
        piece = stream.read(4096)
        if not piece:
            raise TryAgain("no acknowledgement: the connection was closed")
        read += piece
        if len(read) > _MOST_ANSWER_BYTES:
            raise TryAgain("the acknowledgement has no end")
    return bytes(read.partition(END)[0]).removeprefix(START)


_: type[Sink] = MllpSink
