"""A model's folder: the weights and their card."""

import hashlib
import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_ai.errors import ModelError, OutputError
from wsi_ai.models.card_checks import keeps_tensors_elsewhere, unfinished
from wsi_ai.models.drafts.fields import with_fields
from wsi_ai.models.drafts.weights import onnx_files

_CARD = "model.toml"


def read_draft(folder: Path, weights: Path) -> dict[str, Any] | None:
    """The card that an earlier call has left unfinished, to go on with; ``None`` where there is no
    card.  Raises ModelError for one that is finished, or of other weights."""
    card = folder / _CARD
    try:
        table = tomllib.loads(card.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder.name}/{_CARD} cannot be read: {error}") from None
    if not unfinished(table):
        raise ModelError(f"{folder} has a {_CARD} already; give another --out, or edit that one")
    parts = [table.get(name) for name in ("weights", "input", "output", "card")]
    if not all(isinstance(part, dict) for part in parts) or "task" not in table:
        raise ModelError(f"{folder} has a {_CARD} that is no whole draft; give another --out")
    if table["weights"].get("path") != weights.name:
        raise ModelError(f"{folder} has a {_CARD} of other weights; give another --out")
    return table


def write_model(
    folder: Path, weights: Path, table: Mapping[str, Any], notes: Sequence[str]
) -> Path:
    """Copy the weights into ``folder``, unless they are there, and write the card beside them, in
    the place of an unfinished one.  Raises ModelError or OutputError."""
    card, copied = folder / _CARD, folder / weights.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy(weights, copied)
        with copied.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole = with_fields(table, {"weights.path": weights.name, "weights.sha256": digest})
        card.write_text(as_toml(whole, notes), "utf-8")
    except OSError as error:
        raise OutputError(f"the model's folder cannot be written: {error.strerror}") from None
    return card


def _copy(weights: Path, target: Path) -> None:
    """As one file, whatever it keeps beside it."""
    there = target.exists() and target.samefile(weights)
    if weights.suffix == ".onnx" and keeps_tensors_elsewhere(weights):
        if there:
            raise ModelError(
                f"{weights.name} keeps tensors in other files; give another --out, where it is put"
                " together"
            )
        onnx_files().as_one_file(weights, target)
    elif not there:
        shutil.copyfile(weights, target)


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
