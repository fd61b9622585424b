"""Whose commands these are."""

import getpass

from wsi_ai.core.printable import printable
from wsi_ai.service.access.who import Who, account


def account_here() -> Who:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = "unknown"  # a container's user may have no name
    return account(printable(name)[:100])
