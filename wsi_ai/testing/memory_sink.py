"""A sink that keeps what it is sent, and fails on request."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from wsi_ai.delivery.messages import Endpoint, Held, Message, Pulse, Receipt
from wsi_ai.delivery.succession import held_of
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

    def held(self, at: datetime) -> Mapping[str, Held]:
        """See ``contracts.Sink.held``."""
        newest: dict[str, Held] = {}
        for message in sorted(self.got, key=lambda one: one.revision):
            newest[message.flag_id] = held_of(json.loads(message.body)["data"], message.event_id)
        return newest

    def close(self) -> None:
        self.closed = True
