"""The digest that names a slide's bytes."""

import hashlib
from pathlib import Path

from wsi_ai.errors import SlideError


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
