"""Libraries that come with an extra of this package."""

from importlib import import_module
from typing import Any

from wsi_ai.errors import WsiAiError


def missing(error: ModuleNotFoundError, extra: str) -> str:
    """What is said to a person who lacks one."""
    return f"{error.name} is not installed; install it with: pip install 'wsi-ai[{extra}]'"


def from_extra(module: str, extra: str, failed: type[WsiAiError]) -> Any:
    """The module.  Raises ``failed`` where it, or what it imports, is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise failed(missing(error, extra)) from None
