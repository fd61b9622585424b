"""What a model card must not say, beyond what its schema knows."""

import math
import mmap
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import CARD_INCOMPLETE, Activation, Colour, ReadLike, Role, Task
from wsi_ai.models.card_input import input_complaint
from wsi_ai.models.card_output import output_complaint

INCOMPLETE = "incomplete"
"""The field by which a card says that its texts are left out."""
TEXTS = {
    "operating_point": ("chosen_for", "calibrated_on"),
    "card": ("intended_use", "licence", "training_data", "evidence", "limitations"),
}
"""What only a person can write."""
MPP_TOLERANCE = 0.1
"""Where the card leaves it out."""


def unfinished(table: Any, field: str = "") -> list[str]:
    """Fields that begin with TODO: whoever drafted the card could not know them."""
    if isinstance(table, dict):
        inside = [(f"{field}.{name}" if field else name, part) for name, part in table.items()]
        return [found for name, part in inside for found in unfinished(part, name)]
    if isinstance(table, list):
        return [field] if any(unfinished(part, field) for part in table) else []
    return [field] if isinstance(table, str) and table.startswith("TODO") else []


def texts_filled_in(table: dict[str, Any]) -> dict[str, Any]:
    """An incomplete card with the words in place of its texts that say so; any other as it is."""
    if table.get(INCOMPLETE) is not True:
        return table
    texts = {
        section: dict.fromkeys(names, CARD_INCOMPLETE) | table[section]
        for section, names in TEXTS.items()
        if isinstance(table.get(section), dict)
    }
    return table | texts


def contradiction(table: dict[str, Any]) -> str | None:
    """What each field allows, but not together."""
    return (
        _classes_contradiction(table)
        or _input_contradiction(table["input"])
        or input_complaint(table)
        or _scope_contradiction(table)
        or output_complaint(table)
    )


def _classes_contradiction(table: dict[str, Any]) -> str | None:
    if Task(table["task"]) is Task.EMBEDDING:
        return None
    output, label = table["output"], table["operating_point"]["class"]
    classes, roles = output["classes"], output.get("roles", {})
    if label not in classes:
        return f"operating_point.class: {label!r} is none of output.classes {classes}"
    if output["activation"] == Activation.SOFTMAX and len(classes) == 1:
        return "output.activation: softmax over a single class is always 1; use sigmoid"
    if strangers := sorted(roles.keys() - set(classes)):
        return f"output.roles: {strangers[0]!r} is none of output.classes {classes}"
    if roles.get(label, Role.POSITIVE) != Role.POSITIVE:
        return f"output.roles.{label}: must be positive, for operating_point.class is {label!r}"
    return None


def _input_contradiction(image: dict[str, Any]) -> str | None:
    if image["dtype"] == "uint8" and ("mean" in image or "std" in image):
        return "input.dtype: a uint8 network gets pixels as they are; leave out mean and std"
    plain = "free_size" not in image and image.get("color") != Colour.SRGB
    whole = plain and image.get("stride_px", image["size_px"]) == image["size_px"]
    if image.get("parity") == ReadLike.WSINFER and not whole:
        return "input.parity: wsinfer reads raw colours, tile beside tile; leave out the others"
    return None


def _scope_contradiction(table: dict[str, Any]) -> str | None:
    image, (finest, coarsest) = table["input"], table.get("scope", {}).get("mpp", (0.0, math.inf))
    if finest > coarsest:
        return "scope.mpp: the finest comes first"
    if finest > (most := image["mpp"] * (1 + image.get("mpp_tolerance", MPP_TOLERANCE))):
        return (
            f"scope.mpp: no slide in it has the {most:.4g} µm/px or finer that input.mpp asks for"
        )
    return None


def keeps_tensors_elsewhere(path: Path) -> bool:
    """Whether an ONNX file names another one (``TensorProto.external_data``: an entry whose key is
    ``location``; onnx.proto).  ONNX Runtime is told to open none in any case."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"\x0a\x08location") >= 0
