"""A model's folder: the weights and their card."""

import hashlib
import shutil
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from wsi_ai.errors import ModelError, OutputError
from wsi_ai.models.card_checks import INCOMPLETE, keeps_tensors_elsewhere, unfinished
from wsi_ai.models.drafts.fields import with_fields
from wsi_ai.models.drafts.weights import onnx_files
from wsi_ai.schemas.reading import SETTINGS_BYTES, Unreadable, content_of, from_toml

_CARD = "model.toml"


def read_draft(folder: Path, weights: Path) -> dict[str, Any] | None:
    """The card that an earlier call has left unfinished, to go on with; ``None`` where there is no
    card.  Raises ModelError for one that is finished, or of other weights."""
    card = folder / _CARD
    try:
        table = from_toml(content_of(card, SETTINGS_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{folder.name}/{_CARD} cannot be read: {error.strerror}") from None
    except Unreadable as error:
        raise ModelError(f"{folder.name}/{_CARD} {error}") from None
    if not unfinished(table) and INCOMPLETE not in table:
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
        before = card.read_text("utf-8") if card.exists() else ""
        card.write_text(as_toml(whole, notes, before), "utf-8")
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


def as_toml(table: Mapping[str, Any], notes: Sequence[str], before: str = "") -> str:
    """Plain values first, then a section for each table.  ``before``: the draft that it follows,
    whose remarks and order stay."""
    document = tomlkit.parse(before)
    if not before:
        for note in notes:
            document.add(tomlkit.comment(_in_one_line(note)))
    _fill(document, table)
    return tomlkit.dumps(document)


def _in_one_line(note: str) -> str:
    """Of what a file says of itself, names for example."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(note.split()))


def _fill(into: MutableMapping[str, Any], table: Mapping[str, Any]) -> None:
    for name in [name for name in into if name not in table]:
        del into[name]
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    for name, value in plain.items():
        if name not in into or into[name] != value:
            into[name] = value
    for name in (name for name in table if name not in plain):
        if not isinstance(into.get(name), MutableMapping):
            into[name] = tomlkit.table()
        _fill(into[name], table[name])
