"""What a card asks to be done to tiles before the network sees them.  Pure."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from wsi_ai.core.cards import (
    InputSpec,
    Layout,
    MacenkoTarget,
    ReinhardTarget,
    StainTarget,
    Task,
    Tta,
)

Table = Mapping[str, Any]
_TARGETS: dict[str, type[StainTarget]] = {"macenko": MacenkoTarget, "reinhard": ReinhardTarget}


def input_complaint(card: Table) -> str | None:
    """What the fields allow each, but not together or not for this task."""
    image = card["input"]
    if 0 in image.get("std", ()):
        return "input.std: must not be 0"
    if Tta(image.get("tta", Tta.NONE)) is not Tta.NONE and Task(card["task"]) is Task.DETECTION:
        return "input.tta: objects cannot be averaged; leave it out"
    method, given = image.get("stain_normalisation", "none"), image.get("stain_target", {})
    target = _TARGETS.get(method)
    strange = sorted(given.keys() - {field.name for field in fields(target)} if target else given)
    if strange:
        return f"input.stain_target.{strange[0]}: not of input.stain_normalisation {method!r}"
    return None


def input_spec(image: Table) -> InputSpec:
    plain = InputSpec(Layout(image["layout"]), image["dtype"])
    return InputSpec(
        layout=plain.layout,
        dtype=plain.dtype,
        mean=tuple(image.get("mean", plain.mean)),
        std=tuple(image.get("std", plain.std)),
        tta=Tta(image.get("tta", plain.tta)),
        stain=_stain(image),
        network_px=image.get("network_px"),
        batch=image.get("batch"),
    )


def _stain(image: Table) -> StainTarget | None:
    target = _TARGETS.get(image.get("stain_normalisation", "none"))
    given = {name: tuple(value) for name, value in image.get("stain_target", {}).items()}
    return target(**given) if target else None
