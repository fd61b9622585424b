"""A folder of results carries the site's seal: what does not was written by somebody else, or by
an earlier version, and is never sent."""

import hmac
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_ai.core.seals import open_file, seal
from wsi_ai.errors import disk_errors
from wsi_ai.results.folder import hidden
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable

log = logging.getLogger(__name__)
_SEAL = "seal"


def with_seal(record: Mapping[str, Any], flag: Mapping[str, Any]) -> dict[str, Any]:
    """The record, as run.json has it: sealed together with its flag.  Raises OutputError."""
    return {**record, _SEAL: _sealed(record, flag)}


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


def read_results(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The same to look at: what is not this site's own is left where it is."""
    return _read(folder)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        if folder.is_symlink():
            return None
        record = json.loads(_content(folder / "run.json"))
        flag = json.loads(_content(folder / "flag.json"))
        told = str(record.pop(_SEAL))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    same = hmac.compare_digest(told.encode("utf-8", "replace"), _sealed(record, flag).encode())
    return (record, flag) if same else None


def _sealed(record: Mapping[str, Any], flag: Any) -> str:
    parts = (json.dumps(part, sort_keys=True).encode() for part in (record, flag))
    return seal("results-1", *parts).hex()


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
