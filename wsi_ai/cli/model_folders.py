"""``wsi-ai models``: drafts, the store and signatures."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from wsi_ai import drafts
from wsi_ai.approval import find_model
from wsi_ai.card_checks import unfinished
from wsi_ai.cards import ModelCard, Task
from wsi_ai.cli.saying import OK, told
from wsi_ai.encoders import load_encoder
from wsi_ai.errors import ModelError
from wsi_ai.inspected import Inspected
from wsi_ai.manifest import load_card
from wsi_ai.settings import load_site
from wsi_ai.signing import SIGNATURE
from wsi_ai.signing import sign as sign_folder
from wsi_ai.store import ModelStore
from wsi_ai.wsinfer import load_zoo_model

Said = Mapping[str, Any]
_COLUMNS = "{:<32} {:<12} {:<22} {:<12} {:<7} {}"


@told
def init(
    weights: Path, out: Path | None, said: Said, fields: Sequence[str], trust_pickle: bool
) -> int:
    """Inspect, ask, write, tell."""
    seen = drafts.inspect_weights(weights, trusted=trust_pickle)
    table = drafts.draft_table(weights.stem, seen)
    _write(out or Path(weights.stem), weights, seen, _answered(table, said, fields))
    return OK


@told
def import_wsinfer(source: str, out: Path | None, said: Said, fields: Sequence[str]) -> int:
    model = load_zoo_model(source)
    table = drafts.with_fields(drafts.draft_table(model.name, model.seen), model.fields)
    folder = out or Path(f"{model.name}-wsi-ai")
    _write(folder, model.weights, model.seen, _answered(table, said, fields))
    return OK


@told
def import_encoder(source: str, out: Path | None, fields: Sequence[str]) -> int:
    model = load_encoder(source)
    table = drafts.encoder_table(model.name, model.seen, model.fields)
    folder = out or Path(f"{model.name}-wsi-ai")
    _write(folder, model.weights, model.seen, _answered(table, {}, fields))
    return OK


@told
def add(model: Path) -> int:
    store = _store()
    entry = store.add(model)
    print(f"{entry} is in the store; now: wsi-ai run SLIDE --model {entry} --out OUT")
    return OK


@told
def list_models() -> int:
    store = _store()
    entries = store.entries()
    if not entries:
        print(f"no models in {store.place}; add one: wsi-ai models add MODEL")
        return OK
    print(_COLUMNS.format("name", "version", "task", "format", "signed", "files"))
    for entry in entries:
        card = load_card(entry.folder)
        signed = "yes" if (entry.folder / SIGNATURE).is_file() else "no"
        row = entry.name, entry.version, card.task, card.format, signed, entry.digest[:12]
        print(_COLUMNS.format(*row))
    return OK


@told
def show(model: Path) -> int:
    folder = find_model(model, load_site())
    card = load_card(folder)
    for name, value in _facts(card):
        print(f"{name:<20} {value}")
    signed = (card.weights.parent / SIGNATURE).is_file()
    print(
        f"{'signature':<20} {'there; wsi-ai models verify --key checks it' if signed else 'none'}"
    )
    return OK


@told
def remove(model: str) -> int:
    store = _store()
    entry = store.find(model)
    store.remove(entry)
    print(f"{entry} is out of the store")
    return OK


@told
def sign(model: Path, key: Path) -> int:
    folder = find_model(model, load_site())
    path = sign_folder(load_card(folder).weights.parent, key)
    print(f"{path.name}: every file of the model as it is now")
    return OK


def _store() -> ModelStore:
    return ModelStore(load_site().store)


def _answered(table: Mapping[str, Any], said: Said, fields: Sequence[str]) -> dict[str, Any]:
    """With what was said in options, and what a person at a terminal says when asked."""
    made = drafts.with_fields(table, {k: _value(k, v) for k, v in said.items() if v is not None})
    for pair in fields:
        field, equals, text = pair.partition("=")
        if not equals:
            raise ModelError(f"--set {pair}: FIELD=VALUE is needed")
        made = drafts.with_fields(made, {field: drafts.typed(field, text)})
    if at_terminal():
        for field in unfinished(made):
            made = drafts.with_fields(made, _asked(field))
    return made


def at_terminal() -> bool:
    return sys.stdin.isatty()


def _value(field: str, value: Any) -> Any:
    return drafts.typed(field, value) if isinstance(value, str) else value


def _asked(field: str) -> dict[str, Any]:
    """Until it is answered as it should be; with nothing, it stays TODO."""
    while True:
        answer = typer.prompt(f"{field}: {drafts.QUESTIONS[field]}", default="", show_default=False)
        if not answer.strip():
            return {}
        try:
            return {field: drafts.typed(field, answer)}
        except ModelError as error:
            print(f"  {error}")


def _write(folder: Path, weights: Path, seen: Inspected, table: dict[str, Any]) -> None:
    drafts.check_table(table, seen)
    notes = [f"Drafted by wsi-ai from {weights.name}: {seen.format}.", *seen.notes]
    card = drafts.write_model(folder, weights, table, notes)
    embeds = table["task"] == Task.EMBEDDING
    gives = f"{seen.classes or '?'} {'features' if embeds else 'classes'}"
    print(f"{card}: {seen.format}, {seen.layout.value} {seen.dtype}, {gives}")
    if left := unfinished(table):
        print("still to be filled in, each says TODO and what is asked:")
        print("\n".join(f"  {field}" for field in left))
        return
    load_card(folder)
    command = "embed" if embeds else "run"
    print(f"complete; now: wsi-ai {command} SLIDE --model {folder} --out OUT")


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    roles, scope, tile = dict(card.roles), card.scope, card.tile
    names = [f"{name} ({roles[name]})" if name in roles else name for name in card.classes]
    limits = [*scope.stains, *scope.organs, *scope.specimens, *scope.scanners]
    if scope.mpp:
        limits.append(f"{scope.mpp[0]:g} to {scope.mpp[1]:g} µm/px")
    return [
        ("model", f"{card.ref.name} {card.ref.version}"),
        ("weights", f"{card.weights.name} ({card.format}) {card.ref.sha256}"),
        ("task", card.task),
        ("tiles", f"{tile.size_px} px at {tile.mpp:g} µm/px"),
        ("classes", ", ".join(names)),
        (
            "operating point",
            f"{card.point.label} ≥ {card.point.threshold:g}: {card.point.chosen_for}",
        ),
        ("calibrated on", card.point.calibrated_on),
        ("made for", ", ".join(limits) or "the card does not say"),
        ("intended use", card.intended_use),
    ]
