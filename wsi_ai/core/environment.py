"""What the process finds around it: variables, processors, and where a user's files go."""

import os
from pathlib import Path

import platformdirs

from wsi_ai.errors import InputError

_NAME = "wsi-ai"


def from_environment(name: str) -> str | None:
    """The only reader of variables.  Read when it is asked for, so that importing wsi_ai depends
    on nothing outside."""
    return os.environ.get(name) or None


def taken_from_environment(name: str) -> str | None:
    """The same, and it is there no longer: it was for this process, and not for its children."""
    return os.environ.pop(name, None) or None


def with_variable(name: str, value: str) -> dict[str, str]:
    """The environment of a child that is to know one thing more."""
    return {**os.environ, name: value}


def positive(name: str, default: float) -> float:
    """A variable's number.  Raises InputError where it is none above zero."""
    text = from_environment(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise InputError(f"{name} is to be a number above zero")
    return value


def threads(share: int = 1) -> int:
    """Number of processors that this process may use, divided among ``share`` of its kind; at
    least 1."""
    return max(1, len(os.sched_getaffinity(0)) // share)


def data_folder() -> Path:
    """Where a user's own data of wsi_ai lie: ``$XDG_DATA_HOME/wsi-ai`` on Linux."""
    return platformdirs.user_data_path(_NAME)


def cache_folder() -> Path:
    """Where what can be made again lies: ``$XDG_CACHE_HOME/wsi-ai`` on Linux."""
    return platformdirs.user_cache_path(_NAME)
