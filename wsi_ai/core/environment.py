"""The only reader of the environment."""

import os


def from_environment(name: str) -> str | None:
    """Reads the variable when it is called, so that importing wsi_ai depends on nothing outside."""
    return os.environ.get(name) or None
