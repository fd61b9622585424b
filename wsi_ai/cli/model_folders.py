"""``wsi-ai models``: drafts, the store and signatures."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.cards import CARD_INCOMPLETE, ModelCard, RuntimeRequest, Task
from wsi_ai.errors import ModelError
from wsi_ai.models import drafts
from wsi_ai.models.approval import find_model
from wsi_ai.models.card_checks import INCOMPLETE, unfinished
from wsi_ai.models.drafts.encoders import load_encoder
from wsi_ai.models.drafts.inspected import Inspected, SharedModel
from wsi_ai.models.drafts.wsinfer import load_zoo_model
from wsi_ai.models.fastest.choose import known
from wsi_ai.models.hub_cache import repository_name
from wsi_ai.models.manifest import load_card, load_variants
from wsi_ai.models.signing import SIGNATURE
from wsi_ai.models.signing import sign as sign_folder
from wsi_ai.models.site import load_site
from wsi_ai.models.store import ModelStore

Fields = Mapping[str, Any]
_NAMELESS = ("model", "pytorch_model")
"""What Hugging Face calls every model's weights; the folder has the model's name."""
_COLUMNS = "{:<32} {:<12} {:<22} {:<12} {:<7} {}"


@dataclass(frozen=True, slots=True)
class Loading:
    """How a file of weights is taken."""

    trust_pickle: bool = False
    trial: bool = False
    """Without the card's texts."""


@exit_on_error
def init(
    weights: Path, out: Path | None, named: Fields, fields: Sequence[str], loading: Loading
) -> int:
    """Inspect, ask, write, print; or go on with a draft that was left unfinished."""
    plain = weights.absolute().parent.name if weights.stem in _NAMELESS else weights.stem
    name = repository_name(weights) or plain
    folder, known = out or Path(name), _fields(named, fields)
    begun = drafts.read_draft(folder, weights)
    output = known.get("output.name") or (begun or {}).get("output", {}).get("name", "")
    seen = drafts.inspect_weights(weights, output, trusted=loading.trust_pickle)
    task = Task(known["task"]) if "task" in known else None
    table = begun or drafts.draft_table(name, seen, task)
    if loading.trial:
        table = drafts.without_texts(drafts.with_fields(table, known))
    else:
        table = drafts.with_texts_to_write(table)
    _write(folder, weights, seen, _answered(table, known, seen))
    return Exit.OK


@exit_on_error
def import_wsinfer(source: str, out: Path | None, named: Fields, fields: Sequence[str]) -> int:
    return _import(load_zoo_model(source), None, out, _fields(named, fields))


@exit_on_error
def import_encoder(source: str, out: Path | None, fields: Sequence[str]) -> int:
    return _import(load_encoder(source), Task.EMBEDDING, out, _fields({}, fields))


def _import(model: SharedModel, task: Task | None, out: Path | None, known: dict[str, Any]) -> int:
    folder = out or Path(f"{model.name}-wsi-ai")
    table = drafts.read_draft(folder, model.weights)
    table = table or drafts.draft_table(model.name, model.seen, task)
    _write(folder, model.weights, model.seen, _answered(table, known, model.seen))
    return Exit.OK


@exit_on_error
def add(model: Path) -> int:
    store = _store()
    entry = store.add(model)
    say(f"{entry} is in the store; now: wsi-ai run SLIDE --model {entry} --out OUT")
    return Exit.OK


@exit_on_error
def list_models() -> int:
    store = _store()
    entries = store.entries()
    if not entries:
        say(f"no models in {store.place}; add one: wsi-ai models add MODEL")
        return Exit.OK
    say(_COLUMNS.format("name", "version", "task", "format", "signed", "files"))
    for entry in entries:
        card = load_card(entry.folder)
        signed = "yes" if (entry.folder / SIGNATURE).is_file() else "no"
        row = entry.name, entry.version, card.task, card.format, signed, entry.digest[:12]
        say(_COLUMNS.format(*row))
    return Exit.OK


@exit_on_error
def show(model: Path) -> int:
    folder = find_model(model, load_site())
    card = load_card(folder)
    for name, value in _facts(card):
        say(f"{name:<20} {value}")
    for name, value in _fastest_here(folder):
        say(f"{name:<20} {value}")
    signed = (card.weights.parent / SIGNATURE).is_file()
    say(f"{'signature':<20} {'there; wsi-ai models verify --key checks it' if signed else 'none'}")
    return Exit.OK


@exit_on_error
def remove(model: str) -> int:
    store = _store()
    entry = store.find(model)
    store.remove(entry)
    say(f"{entry} is out of the store")
    return Exit.OK


@exit_on_error
def sign(model: Path, key: Path) -> int:
    card = load_card(find_model(model, load_site()))
    if card.incomplete:
        raise ModelError(f"not signed: {CARD_INCOMPLETE}")
    path = sign_folder(card.weights.parent, key)
    say(f"{path.name}: every file of the model as it is now")
    return Exit.OK


def _store() -> ModelStore:
    return ModelStore(load_site().store)


def _fields(named: Fields, pairs: Sequence[str]) -> dict[str, Any]:
    """What the options gave, by the field's name."""
    known = {k: drafts.typed(k, str(v)) for k, v in named.items() if v is not None}
    for pair in pairs:
        field, equals, text = pair.partition("=")
        if not equals:
            raise ModelError(f"--set {pair}: FIELD=VALUE is needed")
        known[field] = drafts.typed(field, text)
    return known


def _answered(table: Mapping[str, Any], known: Fields, seen: Inspected) -> dict[str, Any]:
    """With what is known, and what a person at a terminal says when asked."""
    made = drafts.with_fields(table, known)
    drafts.check_table(made, seen)
    for field in unfinished(made) if at_terminal() else ():
        made = _asked(field, made, seen)
    return made


def at_terminal() -> bool:
    return sys.stdin.isatty()


def _asked(field: str, table: dict[str, Any], seen: Inspected) -> dict[str, Any]:
    """Until it is answered as it should be; with nothing, it stays TODO."""
    while True:
        answer = typer.prompt(f"{field}: {drafts.QUESTIONS[field]}", default="", show_default=False)
        if not answer.strip():
            return table
        try:
            made = drafts.with_fields(table, {field: drafts.typed(field, answer)})
            drafts.check_table(made, seen)
        except ModelError as error:
            say(f"  {error}")
        else:
            return made


def _write(folder: Path, weights: Path, seen: Inspected, table: dict[str, Any]) -> None:
    notes = [f"Drafted by wsi-ai from {weights.name}: {seen.format}.", *seen.notes]
    card = drafts.write_model(folder, weights, table, notes)
    takes = f"{seen.layout.value} {seen.dtype}"
    say(f"{card}: {table['task']}, {seen.format}: {takes} to {seen.shape_told}")
    for note in seen.notes:
        say(f"from the file: {note}")
    if left := unfinished(table):
        say("still to be filled in, each says TODO and what is asked:")
        for field in left:
            say(f"  {field}: {drafts.QUESTIONS[field]}")
        say("fill them in there, or give the same command again with --set FIELD=VALUE")
        return
    load_card(folder)
    if INCOMPLETE in table:
        say(f"{CARD_INCOMPLETE}; the same command without --trial asks for the rest")
    command = "embed" if table["task"] == Task.EMBEDDING else "run"
    say(f"complete; now: wsi-ai {command} SLIDE --model {folder} --out OUT")


def _fastest_here(folder: Path) -> Iterator[tuple[str, str]]:
    """What ``--device auto`` takes, where it was measured."""
    for card in load_variants(folder):
        found = known(card, RuntimeRequest(precision=card.precision))
        if found is not None:
            yield f"auto, {card.precision}", f"{found}, measured {found.at}"


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
