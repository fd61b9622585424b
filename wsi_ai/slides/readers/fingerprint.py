"""The digest that names a slide's bytes."""

import hashlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from wsi_ai.errors import SlideError

_MOST_PARTS = 12
"""Of a series with more, it is not tried whether an earlier slide was a part: 4,096 digests."""


def fingerprint(path: Path) -> str:
    """SHA-256 of the whole file, in hex.  Raises SlideError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise SlideError("there is no such file") from None
    except IsADirectoryError:
        raise SlideError("this is a folder; name the slide files in it") from None
    except PermissionError:
        raise SlideError("the file may not be read; check its permissions") from None
    except OSError as error:
        raise SlideError(f"the file cannot be read: {error.strerror}") from None


def of_parts(digests: Sequence[str]) -> str:
    """Of a slide in several files, by theirs; of one file, its own."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def has_grown(parts: Sequence[str], earlier: str) -> bool:
    """Whether ``earlier`` is the fingerprint of some of these parts: they were the slide before
    the others came."""
    if len(parts) > _MOST_PARTS:
        return False
    fewer = (some for count in range(1, len(parts)) for some in combinations(parts, count))
    return any(of_parts(some) == earlier for some in fewer)
