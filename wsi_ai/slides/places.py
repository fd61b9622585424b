"""Where slides lie: on the disk, or at an address."""

import re
from pathlib import Path

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")


def is_address(place: Path | str) -> bool:
    """Whether this is the address of a server, such as ``https://…`` or ``s3://…``.

    A ``Path`` made of one has lost a slash, and counts too.
    """
    return _ADDRESS.match(str(place)) is not None
