"""A model's folder: the weights and their card."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
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
    lines = [f"# {note}" for note in notes]
    lines += [_line(k, v) for k, v in table.items() if not isinstance(v, Mapping)]
    for name, part in table.items():
        if isinstance(part, Mapping):
            lines += _section(name, part)
    return "\n".join(lines) + "\n"


def _section(name: str, part: Mapping[str, Any]) -> list[str]:
    lines = ["", f"[{name}]"]
    lines += [_line(k, v) for k, v in part.items() if not isinstance(v, Mapping)]
    for inner, more in part.items():
        if isinstance(more, Mapping):
            lines += _section(f"{name}.{inner}", more)
    return lines


def _line(name: str, value: Any) -> str:
    """JSON's strings, numbers and lists are TOML's, but for the DEL character in strings."""
    key = name if name.replace("_", "").isalnum() and name.isascii() else json.dumps(name)
    return f"{key} = {json.dumps(value, ensure_ascii=False).replace(chr(127), '')}"
