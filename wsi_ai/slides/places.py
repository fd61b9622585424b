"""Where slides lie: on the disk, or at an address."""

import re
from enum import StrEnum
from pathlib import Path

_MADE_ONE = re.compile(r"^([a-z][a-z0-9+.-]+):/(?!/)")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")


class ReaderIo(StrEnum):
    """How a slide in an object store is read."""

    STAGING = "staging"
    """Copied to the disk first, whole, and hashed on the way."""
    RANGES = "ranges"
    """Where it lies, only what is wanted of it; copied all the same where its object does not say
    its SHA-256, or it is no tiled TIFF file."""


def as_written(place: Path | str) -> str:
    """As a person writes it: with the slash that a ``Path`` made of an address has lost."""
    return _MADE_ONE.sub(r"\1://", str(place))


def is_address(place: Path | str) -> bool:
    """Whether this is the address of a server, such as ``https://…`` or ``s3://…``.

    A ``Path`` made of one has lost a slash, and counts too.
    """
    return _ADDRESS.match(str(place)) is not None
