"""How a request proves whose it is: what every part of the service asks, and nothing else."""

from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection

from wsi_ai.errors import WsiAiError
from wsi_ai.service.access.who import ONE_PERSON, Who


class NotKnown(WsiAiError):
    """The request does not say whose it is, or that no longer holds."""


class Door(Protocol):
    def who(self, connection: HTTPConnection) -> Who:
        """Of a request or a WebSocket.  Reads the rights anew each time.  Raises NotKnown, and
        OutputError where the database refuses."""
        ...


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """For one person on this machine's loopback address."""

    person: Who = ONE_PERSON

    def who(self, connection: HTTPConnection) -> Who:
        return self.person
