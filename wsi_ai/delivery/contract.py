"""What a sink has to supply: the contracts that need messages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from wsi_ai.delivery.messages import Endpoint, Held, Message, Pulse, Receipt


class Sink(Protocol):
    """Takes messages to one endpoint, each as often as it is asked to.  Used by one thread."""

    @property
    def endpoint(self) -> Endpoint: ...

    def send(self, message: Message, at: datetime) -> Receipt:
        """Give the message up to the receiver.  A receipt means that it is kept there.

        ``at`` is the time of this attempt.  Raises TryAgain, Paused, Refused or, with the ``Held``
        that the receiver names, Conflict, and nothing else for whatever the network or the receiver
        does.
        """
        ...

    def held(self, at: datetime) -> Mapping[str, Held] | None:
        """The newest revision of each flag that the receiver holds, read back from it; ``None``
        where it cannot be asked.  Raises DeliveryError."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class HeartbeatSink(Sink, Protocol):
    """A sink whose receiver can be told that the sender is alive."""

    def beat(self, pulse: Pulse, at: datetime) -> None:
        """Say it once.  Raises TryAgain, Paused or Refused, as ``send`` does."""
        ...


@runtime_checkable
class CheckedSink(Sink, Protocol):
    """A sink that can look at its receiver without sending it anything that stays."""

    def check(self, at: datetime) -> str:
        """What was found to work, in a line, with the receiver's own name and version where it
        says them.  Raises DeliveryError, which says what does not work."""
        ...
