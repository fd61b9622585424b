"""model.toml → ModelCard.  The weights are checked against the card before anything runs."""

import hashlib
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.card_checks import (
    MPP_TOLERANCE,
    contradiction,
    keeps_tensors_elsewhere,
    unfinished,
)
from wsi_ai.errors import ModelError
from wsi_ai.values import (
    Activation,
    Colour,
    InputSpec,
    Layout,
    ModelCard,
    ModelRef,
    OperatingPoint,
    Parity,
    Role,
    Scope,
    Task,
    TileSpec,
    Tolerance,
)


def load_card(model: Path) -> ModelCard:
    """Read the card of a model's folder, and verify the SHA-256 of its weights.

    The fields are those of ``schemas/model-card-1.schema.json``.  Raises ModelError, which names
    the file and the field and says what it should be.
    """
    return _read(model)[0]


def load_variants(model: Path) -> list[ModelCard]:
    """The model's card, then one for each other format that it comes in; all verified."""
    card, table, named = _read(model)
    cards = [card]
    for variant in table.get("variants", ()):
        weights = _weights(card.weights.parent, variant, named)
        ref = replace(card.ref, sha256=variant["sha256"])
        made = {"format": variant["format"], "architecture": variant.get("architecture", "")}
        cards.append(replace(card, ref=ref, weights=weights, **made))
    return cards


def _read(model: Path) -> tuple[ModelCard, dict[str, Any], str]:
    """The card, the table it was made of, and how messages name the file."""
    manifest = model / "model.toml" if model.is_dir() else model
    named = f"{manifest.parent.resolve().name}/{manifest.name}"  # a site's paths stay at the site
    try:
        content = manifest.read_bytes()
        table = tomllib.loads(content.decode())
    except OSError as error:
        raise ModelError(f"no model card: {named}: {error.strerror}") from None
    except ValueError as error:  # TOML or UTF-8
        raise ModelError(f"{named} is not valid TOML: {error}") from None
    if left := unfinished(table):
        raise ModelError(f"{named}: still to be filled in (TODO): {', '.join(left)}")
    wrong = schemas.complaint("model-card-1", table) or contradiction(table)
    if wrong:
        raise ModelError(f"{named}: {wrong}")
    weights = _weights(manifest.parent, table["weights"], named)
    return _card(table, weights, hashlib.sha256(content).hexdigest()), table, named


def placeholder_card(model: Path) -> ModelCard:
    """Stands for a model that could not be loaded, in the flags that have to say so."""
    asked = model.resolve().name.partition("@")[0]  # NAME@VERSION of the store: its flags' name
    name = re.sub(r"[^A-Za-z0-9._-]", "_", asked)[:64].lstrip("._-") or "unknown"
    return ModelCard(
        ref=ModelRef(name, "unusable", "0" * 64),
        tile=TileSpec(1, 1.0, 1),
        classes=("unknown",),
        point=OperatingPoint("unknown", 0.5, "unknown", "unknown"),
        manifest_sha256="0" * 64,
        intended_use="unknown: the model could not be loaded",
    )


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
    if table["format"] == "onnx" and keeps_tensors_elsewhere(path):
        raise ModelError(
            f"{path.name} keeps tensors in other files, which its SHA-256 does not vouch for;"
            " save it as one file"
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
            Parity(image.get("parity", Parity.NONE)),
        ),
        classes=tuple(output["classes"]),
        point=OperatingPoint(
            point["class"], point["threshold"], point["chosen_for"], point["calibrated_on"]
        ),
        task=Task(table["task"]),
        mpp_tolerance=image.get("mpp_tolerance", MPP_TOLERANCE),
        input=InputSpec(
            plain.layout,
            plain.dtype,
            tuple(image.get("mean", plain.mean)),
            tuple(image.get("std", plain.std)),
        ),
        activation=Activation(output["activation"]),
        weights=weights,
        format=table["weights"]["format"],
        architecture=table["weights"].get("architecture", ""),
        tolerance=Tolerance(**table.get("tolerance", {})),
        manifest_sha256=digest,
        intended_use=table["card"]["intended_use"],
        scope=_scope(table.get("scope", {})),
        output=output.get("name", ""),
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
