"""A model's folder: the weights and their card."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_ai.drafts.fields import with_fields
from wsi_ai.errors import ModelError, OutputError

_CARD = "model.toml"


def write_model(
    folder: Path, weights: Path, table: Mapping[str, Any], notes: Sequence[str]
) -> Path:
    """Copy the weights into ``folder``, unless they are there, and write the card beside them.

    A card that is there already is never written over.  Raises ModelError or OutputError.
    """
    card, copied = folder / _CARD, folder / weights.name
    if card.exists():
        raise ModelError(f"{folder} has a {_CARD} already; give another --out, or edit that one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not copied.exists() or not copied.samefile(weights):
            shutil.copyfile(weights, copied)
        with copied.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole = with_fields(table, {"weights.path": weights.name, "weights.sha256": digest})
        card.write_text(as_toml(whole, notes), "utf-8")
    except OSError as error:
        raise OutputError(f"the model's folder cannot be written: {error.strerror}") from None
    return card


def as_toml(table: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Plain values first, then a section for each table."""
    lines = ["# " + " ".join(note.split()) for note in notes]
    return "\n".join([*lines, *_part(table, ())]) + "\n"


def _part(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for name, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{_key(name)} = {_json(value)}"
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield f"[{'.'.join(map(_key, (*path, name)))}]"
            yield from _part(value, (*path, name))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _json(name)


def _json(value: Any) -> str:
    """JSON's strings, numbers and lists are TOML's, but for the DEL character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
