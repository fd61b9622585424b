"""A sink that keeps what it is sent, and fails on request."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from wsi_ai.delivery.messages import Endpoint, Message, Pulse, Receipt
from wsi_ai.errors import DeliveryError

Fault = Callable[[Message], DeliveryError | None]
"""Gives the error of an attempt, if it is to fail."""


def no_fault(message: Message) -> DeliveryError | None:
    return None


def endpoint_for(name: str = "memory", *trusts: str) -> Endpoint:
    """Takes the flags of these trusts; of every trust where none is named."""
    return Endpoint(name, f"memory://{name}", frozenset(trusts) if trusts else None)


class MemorySink:
    """Keeps every attempt that arrived, in order, in ``got``."""

    def __init__(self, endpoint: Endpoint | None = None, fault: Fault = no_fault) -> None:
        self.endpoint = endpoint or endpoint_for()
        self.fault = fault
        self.got: list[Message] = []
        self.attempts: list[tuple[Message, datetime]] = []
        self.pulses: list[Pulse] = []
        self.closed = False
        self._lock = threading.Lock()

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contracts.Sink.send``."""
        with self._lock:
            self.attempts.append((message, at))
            error = self.fault(message)
            if error is not None:
                raise error
            self.got.append(message)
            return Receipt(message.flag_id, self.endpoint.name, str(len(self.got)), at)

    def beat(self, pulse: Pulse, at: datetime) -> None:
        """See ``contracts.HeartbeatSink.beat``."""
        self.pulses.append(pulse)

    def held(self, at: datetime) -> Mapping[str, int]:
        """See ``contracts.Sink.held``."""
        newest: dict[str, int] = {}
        for message in self.got:
            newest[message.flag_id] = max(message.revision, newest.get(message.flag_id, 0))
        return newest

    def close(self) -> None:
        self.closed = True
