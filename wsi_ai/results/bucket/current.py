"""``current.json``: which run of a slide by a model counts.  Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from wsi_ai.errors import ResultError
from wsi_ai.schemas.reading import Unreadable, from_json

NAME = "current.json"
_FORMAT = 1
_MOST_OBJECTS, _LONGEST = 100_000, 900
_UNREADABLE = f"{NAME} of these results cannot be read"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Written:
    """One object of a run."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Current:
    """The run that counts, and all that belongs to it, by names below the run's own folder."""

    run: UUID
    objects: Mapping[str, Written]

    def content(self) -> bytes:
        return json.dumps(
            {
                "format": _FORMAT,
                "run": str(self.run),
                "objects": {
                    name: {"bytes": one.size, "sha256": one.sha256}
                    for name, one in sorted(self.objects.items())
                },
            },
            indent=1,
        ).encode()


def read_current(content: bytes) -> Current:
    """Raises ResultError for what is none, or names what a run cannot have."""
    try:
        said: dict[str, Any] = from_json(content)
        if said["format"] != _FORMAT:
            raise ResultError("these results were written by a newer version; update wsi-ai")
        named = said["objects"]
        objects = {_name(name): _written(one) for name, one in named.items()}
        run = UUID(said["run"])
    except (Unreadable, ValueError, LookupError, TypeError, AttributeError):
        raise ResultError(_UNREADABLE) from None
    if not 0 < len(objects) <= _MOST_OBJECTS:
        raise ResultError(_UNREADABLE)
    return Current(run, objects)


def _written(said: Mapping[str, Any]) -> Written:
    size, digest = said["bytes"], said["sha256"]
    if not isinstance(size, int) or size < 0 or not _DIGEST.fullmatch(digest):
        raise ValueError("size or digest")
    return Written(size, digest)


def _name(name: str) -> str:
    """Below the folder, and nowhere else: whoever may write to the bucket is not trusted."""
    path = PurePosixPath(name)
    pieces = name.split("/")
    if path.is_absolute() or len(name) > _LONGEST or not name.isprintable() or "\\" in name:
        raise ValueError("a name")
    if any(piece in ("", ".", "..") for piece in pieces):
        raise ValueError("a name")
    return name
