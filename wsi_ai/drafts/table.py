"""The draft as a table, in the order of the card."""

import re
from collections.abc import Mapping
from typing import Any

from wsi_ai import schemas
from wsi_ai.card_checks import contradiction, unfinished
from wsi_ai.cards import Task
from wsi_ai.drafts.fields import with_fields
from wsi_ai.drafts.questions import todo
from wsi_ai.errors import ModelError
from wsi_ai.inspected import Inspected

_UNNAMED = "model"


def draft_table(name: str, seen: Inspected) -> dict[str, Any]:
    """What ``seen`` says, with TODO for the rest.  The weights' path and digest are filled in by
    whoever puts them in their place."""
    weights = {"path": "", "format": seen.format, "sha256": ""}
    if seen.format == "state-dict":
        weights["architecture"] = seen.architecture or todo("weights.architecture")
    return {
        "schema_version": "1",
        "name": _name(name),
        "version": "1.0.0",
        "task": Task.TILE_CLASSIFICATION.value,
        "weights": weights,
        "input": _input(seen),
        "output": _output(seen),
        "operating_point": _todos("operating_point", "class threshold chosen_for calibrated_on"),
        **_said(),
    }


def encoder_table(name: str, seen: Inspected, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an encoder, with ``fields`` by dotted name."""
    table = draft_table(name, seen)
    table["output"] = {"features": todo("output.features")}
    return with_fields({k: v for k, v in table.items() if k != "operating_point"}, fields)


def check_table(table: Mapping[str, Any], seen: Inspected) -> None:
    """Raises ModelError where the card would be refused, as far as it is finished."""
    _check_classes(table, seen)
    whole = with_fields(table, {"weights.path": "weights", "weights.sha256": "0" * 64})
    if unfinished(whole):
        return
    if wrong := schemas.complaint("model-card-1", whole) or contradiction(whole):
        raise ModelError(f"the card would be refused: {wrong}")


def _check_classes(table: Mapping[str, Any], seen: Inspected) -> None:
    """There are as many names as scores."""
    names = table["output"].get("classes")
    if isinstance(names, list) and seen.classes is not None and len(names) != seen.classes:
        raise ModelError(
            f"output.classes: {len(names)} names, but the network gives {seen.classes} scores"
        )


def _said() -> dict[str, Any]:
    """What only people can say."""
    return {
        "scope": _todos("scope", "stain organ"),
        "card": {
            "intended_use": todo("card.intended_use"),
            "regulatory_status": "research_use_only",
            **_todos("card", "licence training_data evidence limitations"),
        },
    }


def _input(seen: Inspected) -> dict[str, Any]:
    image = {
        "size_px": seen.size_px or todo("input.size_px"),
        "mpp": todo("input.mpp"),
        "layout": seen.layout.value,
        "dtype": seen.dtype,
    }
    return image if seen.dtype == "uint8" else {**image, **_todos("input", "mean std")}


def _output(seen: Inspected) -> dict[str, Any]:
    told = {} if not seen.output else {"name": seen.output}
    activation = seen.activation.value if seen.activation else todo("output.activation")
    return {**told, "activation": activation, "classes": list(seen.names) or todo("output.classes")}


def _todos(section: str, names: str) -> dict[str, str]:
    return {name: todo(f"{section}.{name}") for name in names.split()}


def _name(told: str) -> str:
    """Fit for the card, and for paths."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", told).strip("._-")[:64] or _UNNAMED
