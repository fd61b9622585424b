"""Where a reader takes bytes from: an open file, or an object in a store."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wsi_ai.errors import TileUnreadable

Span = tuple[int, int]
"""Offset and number of bytes."""


class Bytes(Protocol):
    """What a slide's file holds, by place.  Threads share it.

    A span that reaches beyond the end gives what is there.  Raises TileUnreadable where there is no
    such place; where a store or the network fails, TransportError, which says nothing of a tile.
    """

    def read(self, at: int, count: int) -> bytes: ...

    def read_many(self, spans: Sequence[Span]) -> list[bytes]:
        """The same of many, in as few requests as pays."""
        ...


@dataclass(frozen=True, slots=True)
class FileBytes:
    """Of a file descriptor that stays open as long as this is used."""

    fd: int

    def read(self, at: int, count: int) -> bytes:
        try:
            return os.pread(self.fd, count, at)
        except (OSError, OverflowError, ValueError):
            raise TileUnreadable("a tile lies where nothing can be read") from None

    def read_many(self, spans: Sequence[Span]) -> list[bytes]:
        return [self.read(at, count) for at, count in spans]
