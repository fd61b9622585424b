"""Where models that others share come from: a folder here, or a repository of Hugging Face.

Only this module downloads, and only what somebody named.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from wsi_ai.core.plugins import missing
from wsi_ai.errors import ModelError
from wsi_ai.models.hub_cache import repository_name
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of, from_json

CONFIG = "config.json"
_REPO = re.compile(r"([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)(?:@([A-Za-z0-9._/-]+))?")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or a repository."""

    name: str
    """Of the folder, or of the repository without its owner."""
    file: Callable[[str], Path]
    """By its name, on this disk; in a folder it may be missing.  Raises ModelError where it cannot
    be downloaded."""


def find_place(source: str) -> Place:
    """A folder; or, where there is none of that name, ``OWNER/NAME[@REVISION]``.  Nothing is
    downloaded yet.  Raises ModelError."""
    folder = Path(source)
    if folder.is_dir():
        return Place(repository_name(folder) or folder.resolve().name, lambda name: folder / name)
    match = _REPO.fullmatch(source)
    if match is None:
        raise ModelError(f"{source}: no such folder, and no repository OWNER/NAME")
    return Place(match[1].partition("/")[2], partial(_download, match[1], match[2]))


def read_json(path: Path) -> dict[str, Any]:
    """An object.  Raises ModelError."""
    try:
        made = from_json(content_of(path, TABLE_BYTES))
    except OSError as error:
        raise ModelError(f"{path.name}: {error.strerror}") from None
    except Unreadable as error:
        raise ModelError(f"{path.name} {error}") from None
    if not isinstance(made, dict):
        raise ModelError(f"{path.name}: an object is expected")
    return made


def _download(repo: str, revision: str | None, name: str) -> Path:
    try:
        hub = import_module("huggingface_hub")
        return Path(hub.hf_hub_download(repo, name, revision=revision))
    except ModuleNotFoundError as error:
        raise ModelError(missing(error, "hub")) from None
    except (OSError, ValueError, RuntimeError) as error:
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(f"{name} of {repo} cannot be had: {told}") from None
