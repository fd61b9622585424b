"""model.toml → ModelCard.  The weights are checked against the card before anything runs."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.core.cards import (
    Activation,
    AggregatorRef,
    ModelCard,
    ModelRef,
    OperatingPoint,
    Pool,
    Precision,
    Role,
    Scope,
    Task,
    Tolerance,
)
from wsi_ai.core.regular_file import open_regular, read_regular
from wsi_ai.errors import ModelError
from wsi_ai.inference.sealed import most_for
from wsi_ai.models.card_checks import (
    INCOMPLETE,
    MPP_TOLERANCE,
    contradiction,
    keeps_tensors_elsewhere,
    texts_filled_in,
    unfinished,
)
from wsi_ai.models.card_input import input_spec
from wsi_ai.models.card_output import output_spec, tile_spec
from wsi_ai.models.golden import golden_digest
from wsi_ai.models.hub_cache import within
from wsi_ai.schemas.reading import SETTINGS_BYTES, Unreadable, from_toml


def load_card(model: Path, precision: Precision = Precision.FP32) -> ModelCard:
    """Read the card of a model's folder, and verify the SHA-256 of its weights: the quantised ones
    where the precision is int8.

    The fields are those of ``schemas/model-card-1.schema.json``.  Raises ModelError, which names
    the file and the field and says what it should be.
    """
    if precision is not Precision.INT8:
        return _read(model)[0]
    for card in load_variants(model):
        if card.precision is precision:
            return card
    raise ModelError(
        "this model has no int8 weights; make them:"
        " wsi-ai models optimize MODEL --precision int8 --calibrate SLIDE"
    )


def load_variants(model: Path) -> list[ModelCard]:
    """The model's card, then one for each of its variants; all verified."""
    card, table, named = _read(model)
    cards = [card]
    for variant in table.get("variants", ()):
        weights = _weights(card.weights.parent, variant, named)
        cards.append(_variant(card, variant, weights))
    return cards


def _variant(card: ModelCard, table: dict[str, Any], weights: Path) -> ModelCard:
    return replace(
        card,
        ref=replace(card.ref, sha256=table["sha256"]),
        weights=weights,
        format=table["format"],
        architecture=table.get("architecture", ""),
        precision=Precision(table.get("precision", Precision.FP32)),
        original_sha256=card.ref.sha256,
        golden_sha256=golden_digest(weights.parent),
    )


def _read(model: Path) -> tuple[ModelCard, dict[str, Any], str]:
    """The card, the table it was made of, and how messages name the file."""
    manifest = manifest_path(model)
    named = f"{manifest.parent.resolve().name}/{manifest.name}"  # a site's paths stay at the site
    try:
        content = read_regular(manifest, SETTINGS_BYTES)
        table = texts_filled_in(from_toml(content))
    except OSError as error:
        raise ModelError(f"no model card: {named}: {error.strerror}") from None
    except Unreadable as error:
        raise ModelError(f"{named} {error}") from None
    if left := unfinished(table):
        raise ModelError(f"{named}: still to be filled in (TODO): {', '.join(left)}")
    wrong = schemas.complaint("model-card-1", table) or contradiction(table)
    if wrong:
        raise ModelError(f"{named}: {wrong}")
    weights = _weights(manifest.parent, table["weights"], named)
    card = _card(table, weights, hashlib.sha256(content).hexdigest())
    incomplete = INCOMPLETE in table
    card = replace(card, golden_sha256=golden_digest(weights.parent), incomplete=incomplete)
    if second := table.get("aggregator"):
        path = _weights(manifest.parent, second, named, "aggregator")
        card = replace(card, aggregator=AggregatorRef(path, second["format"], second["sha256"]))
    if policy := table.get("policy"):
        path = _approved(manifest.parent, policy, named, "policy")
        card = replace(card, policy=path, policy_sha256=policy["sha256"])
    return card, table, named


def manifest_path(model: Path) -> Path:
    """The card itself, whether the model is named by it or by its folder."""
    return model / "model.toml" if model.is_dir() else model


def _weights(folder: Path, table: dict[str, Any], named: str, field: str = "weights") -> Path:
    path = _approved(folder, table, named, field)
    if table["format"] == "onnx" and keeps_tensors_elsewhere(path):
        raise ModelError(
            f"{path.name} keeps tensors in other files, which its SHA-256 does not vouch for;"
            " save it as one file"
        )
    return path


def _approved(folder: Path, table: dict[str, Any], named: str, field: str) -> Path:
    """A file of the model's folder that is the one its SHA-256 on the card names."""
    path: Path = folder / table["path"]
    try:
        if not within(path, folder):
            raise ModelError(f"{named}: {field}.path: leads out of the model's folder")
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > most_for(table.get("format", "")):
                raise ModelError(f"{named}: {field}.path: {path.name} is too large to be loaded")
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{named}: {field}.path: {path.name}: {error.strerror}") from None
    if digest != table["sha256"]:
        raise ModelError(
            f"{path.name} is not the approved file: {field}.sha256 in {named} is"
            f" {table['sha256'][:12]}…, the file's is {digest[:12]}…; get the model again"
        )
    return path


def _point(table: dict[str, Any]) -> OperatingPoint:
    """Where the task gives no score, one that nothing reaches for."""
    point = table.get("operating_point")
    if point is None:
        return OperatingPoint("none", 0.5, "no score", "no score")
    return OperatingPoint(
        point["class"], point["threshold"], point["chosen_for"], point["calibrated_on"]
    )


def _card(table: dict[str, Any], weights: Path, digest: str) -> ModelCard:
    image, output, network = table["input"], table["output"], table["weights"]
    return ModelCard(
        ref=ModelRef(table["name"], table["version"], network["sha256"]),
        tile=tile_spec(table),
        classes=tuple(output.get("classes", ())),
        point=_point(table),
        task=Task(table["task"]),
        mpp_tolerance=image.get("mpp_tolerance", MPP_TOLERANCE),
        input=input_spec(image),
        activation=Activation(output.get("activation", Activation.NONE)),
        output=output_spec(table),
        weights=weights,
        format=network["format"],
        architecture=network.get("architecture", ""),
        arguments=tuple(sorted(network.get("arguments", {}).items())),
        pool=Pool(network.get("pool", Pool.NONE)),
        tolerance=Tolerance(**table.get("tolerance", {})),
        manifest_sha256=digest,
        intended_use=table["card"]["intended_use"],
        scope=_scope(table.get("scope", {})),
        roles=tuple((name, Role(role)) for name, role in output.get("roles", {}).items()),
    )


def _scope(table: dict[str, Any]) -> Scope:
    def listed(name: str) -> tuple[str, ...]:
        told = table.get(name, ())
        return (told,) if isinstance(told, str) else tuple(told)

    low, high = table.get("mpp", (None, None))
    return Scope(
        stains=listed("stain"),
        organs=listed("organ"),
        specimens=listed("specimen"),
        scanners=listed("scanners"),
        mpp=None if low is None else (low, high),
    )
