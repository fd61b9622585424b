"""A folder of results carries the site's seal: what does not was written by somebody else, or by
an earlier version, and is never sent."""

import hashlib
import hmac
import json
import logging
import os
from pathlib import Path
from typing import Any

from wsi_ai.core.seals import open_file, seal
from wsi_ai.errors import disk_errors
from wsi_ai.results.folder import hidden, write_json
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, from_json

log = logging.getLogger(__name__)
_SEAL, _SEALED = "seal.json", ("flag.json", "run.json")


def seal_folder(folder: Path) -> None:
    """Once everything is in it.  Raises OutputError."""
    files = {name: _digest((folder / name).read_bytes()) for name in _SEALED}
    write_json(folder / _SEAL, {"sha256": files, "seal": _sealed(files)})


def sealed_results(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The record and the flag; ``None`` where there are none that are this site's own.

    What is not is kept aside, and that is logged.  Raises OutputError.
    """
    if not os.path.lexists(folder / "flag.json") and not os.path.lexists(folder / "run.json"):
        return None
    found = _read(folder)
    if found is None:
        _keep_aside(folder)
    return found


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        if folder.is_symlink():
            return None
        told = from_json(_content(folder / _SEAL))
        contents = {name: _content(folder / name) for name in _SEALED}
        files = {name: _digest(content) for name, content in contents.items()}
        if not hmac.compare_digest(str(told["seal"]), _sealed(files)):
            return None
        return json.loads(contents["run.json"]), json.loads(contents["flag.json"])  # our own bytes
    except (OSError, Unreadable, KeyError, TypeError):
        return None


def _sealed(files: dict[str, str]) -> str:
    return seal("results-1", json.dumps(files, sort_keys=True).encode()).hex()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes:
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        content = file.read(TABLE_BYTES + 1)
    if len(content) > TABLE_BYTES:
        raise Unreadable("is too large")
    return content


def _keep_aside(folder: Path) -> None:
    number = 1
    while os.path.lexists(aside := hidden(folder, f"unsealed-{number}")):
        number += 1
    with disk_errors():
        folder.rename(aside)
    log.warning(
        "results without this site's seal (changed, of another site, or of an earlier version) are"
        " kept as %s beside the new ones, and are not sent",
        aside.name,
    )
