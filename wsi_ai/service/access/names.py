"""Names that the service takes from outside: what they may look like, and how a secret is kept.
Pure."""

import hashlib
import re
import secrets

from wsi_ai.core.printable import printable
from wsi_ai.errors import InputError

LONGEST = 255
TOKEN_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TO = re.compile(rf"token:{TOKEN_NAME}|subject:.+|claim:[^=]+=.+")


def is_line(text: str) -> bool:
    """A line of text that every database keeps and every page shows as it is."""
    return 0 < len(text) <= LONGEST and text.strip() == text and printable(text) == text


def check_to(to: str) -> str:
    """Whom a right is given to.  Raises InputError."""
    if not (_TO.fullmatch(to) and is_line(to)):
        raise InputError("a right is given to subject:ID, token:NAME or claim:NAME=VALUE")
    return to


def new_secret() -> str:
    """256 bits of chance."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """All that is kept of a secret.  It has 256 bits of chance, so no salt adds anything; and what
    is looked up is this, so that how long that takes tells nothing of the secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
