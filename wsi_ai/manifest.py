"""model.toml → ModelCard.  The weights are checked against the card before anything runs."""

import hashlib
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.errors import ModelError
from wsi_ai.values import (
    Activation,
    Colour,
    InputSpec,
    Layout,
    ModelCard,
    ModelRef,
    OperatingPoint,
    Precision,
    Task,
    TileSpec,
    Tolerance,
)


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
    )


def _read(model: Path) -> tuple[ModelCard, dict[str, Any], str]:
    """The card, the table it was made of, and how messages name the file."""
    manifest = manifest_path(model)
    named = f"{manifest.parent.resolve().name}/{manifest.name}"  # a site's paths stay at the site
    try:
        content = manifest.read_bytes()
        table = tomllib.loads(content.decode())
    except OSError as error:
        raise ModelError(f"no model card: {named}: {error.strerror}") from None
    except ValueError as error:  # TOML or UTF-8
        raise ModelError(f"{named} is not valid TOML: {error}") from None
    wrong = schemas.complaint("model-card-1", table) or _contradiction(table)
    if wrong:
        raise ModelError(f"{named}: {wrong}")
    weights = _weights(manifest.parent, table["weights"], named)
    return _card(table, weights, hashlib.sha256(content).hexdigest()), table, named


def manifest_path(model: Path) -> Path:
    """The card itself, whether the model is named by it or by its folder."""
    return model / "model.toml" if model.is_dir() else model


def placeholder_card(model: Path) -> ModelCard:
    """Stands for a model that could not be loaded, in the flags that have to say so."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", model.resolve().name)[:64].lstrip("._-") or "unknown"
    return ModelCard(
        ref=ModelRef(name, "unusable", "0" * 64),
        tile=TileSpec(1, 1.0, 1),
        classes=("unknown",),
        point=OperatingPoint("unknown", 0.5, "unknown", "unknown"),
        manifest_sha256="0" * 64,
        intended_use="unknown: the model could not be loaded",
    )


def _contradiction(table: dict[str, Any]) -> str | None:
    """What each field allows, but not together."""
    classes, label = table["output"]["classes"], table["operating_point"]["class"]
    if label not in classes:
        return f"operating_point.class: {label!r} is none of output.classes {classes}"
    if table["output"]["activation"] == Activation.SOFTMAX and len(classes) == 1:
        return "output.activation: softmax over a single class is always 1; use sigmoid"
    if 0 in table["input"].get("std", ()):
        return "input.std: must not be 0"
    return None


def _weights(folder: Path, table: dict[str, Any], named: str) -> Path:
    path: Path = folder / table["path"]
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{named}: weights.path: leads out of the model's folder")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{named}: weights.path: {path.name}: {error.strerror}") from None
    if digest != table["sha256"]:
        raise ModelError(
            f"{path.name} is not the approved file: weights.sha256 in {named} is"
            f" {table['sha256'][:12]}…, the file's is {digest[:12]}…; get the model again"
        )
    return path


def _card(table: dict[str, Any], weights: Path, digest: str) -> ModelCard:
    image, output, point = table["input"], table["output"], table["operating_point"]
    plain = InputSpec(Layout(image["layout"]), image["dtype"])
    return ModelCard(
        ref=ModelRef(table["name"], table["version"], table["weights"]["sha256"]),
        tile=TileSpec(
            image["size_px"],
            float(image["mpp"]),
            image.get("stride_px", image["size_px"]),
            Colour(image.get("color", Colour.RAW)),
        ),
        classes=tuple(output["classes"]),
        point=OperatingPoint(
            point["class"], point["threshold"], point["chosen_for"], point["calibrated_on"]
        ),
        task=Task(table["task"]),
        mpp_tolerance=image.get("mpp_tolerance", 0.1),
        input=InputSpec(
            plain.layout,
            plain.dtype,
            tuple(image.get("mean", plain.mean)),
            tuple(image.get("std", plain.std)),
            image.get("network_px"),
        ),
        activation=Activation(output["activation"]),
        weights=weights,
        format=table["weights"]["format"],
        architecture=table["weights"].get("architecture", ""),
        tolerance=Tolerance(**table.get("tolerance", {})),
        manifest_sha256=digest,
        intended_use=table["card"]["intended_use"],
        stain=table.get("scope", {}).get("stain"),
    )
