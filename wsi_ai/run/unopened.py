"""What is known of a slide that could not be opened."""

import hashlib
import os
from pathlib import Path

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import ShareTooSlow, SlideError
from wsi_ai.slides.readers.fingerprint import fingerprint

UNREAD = "none"
"""The reader of a slide whose bytes could not be read."""


def unopened(path: Path, error: Exception | None) -> SlideInfo:
    """A slide of which nothing is known but its name and, if it can be read in time, its bytes."""
    name = (path.name if os.path.isdir(path) else path.stem) or "unnamed"
    try:
        if isinstance(error, ShareTooSlow):
            raise error
        return SlideInfo(name, Size(0, 0), None, (1.0,), fingerprint(path))
    except SlideError:
        digest = hashlib.sha256(b"unread:" + os.fsencode(path.absolute())).hexdigest()
        return SlideInfo(name, Size(0, 0), None, (1.0,), digest, reader=UNREAD)
