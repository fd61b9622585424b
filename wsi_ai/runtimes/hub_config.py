"""What the ``config.json`` of a timm model from Hugging Face says of the weights beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class HubConfig:
    """Empty where there is none."""

    architecture: str | None = None
    size_px: int | None = None
    features: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the card, by dotted name."""
    notes: tuple[str, ...] = ()


def beside(weights: Path) -> HubConfig:
    """``architecture``, ``model_args`` and ``pretrained_cfg``, as ``timm.models._hub`` has them."""
    try:
        table = json.loads((weights.parent / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return HubConfig()
    if not isinstance(table, dict) or not isinstance(table.get("architecture"), str):
        return HubConfig()
    arguments = dict(table.get("model_args") or {})
    trained = table.get("pretrained_cfg") or {}
    features = table.get("num_features")
    size = (trained.get("input_size") or [None])[-1]
    return HubConfig(
        architecture=f"timm/{table['architecture']}",
        size_px=size if isinstance(size, int) else None,
        features=features if isinstance(features, int) else None,
        fields=_fields(arguments, trained),
        notes=(f"architecture, arguments, mean and std: {CONFIG} beside it",),
    )


def _fields(arguments: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    """``num_classes`` follows from the card's task and classes."""
    plain = {name: v for name, v in arguments.items() if isinstance(v, str | int | float)}
    kept = {name: value for name, value in plain.items() if name != "num_classes"}
    told = {f"input.{name}": trained[name] for name in ("mean", "std") if trained.get(name)}
    return {**({"weights.arguments": kept} if kept else {}), **told}
