"""Encoders of Hugging Face, by timm or transformers: ``config.json`` to the fields of a card.

timm's is what ``timm.models.push_to_hf_hub`` writes; that of transformers what ``save_pretrained``
writes.  What neither says of a well-known encoder is in ``_KNOWN``, from its own page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_ai.cards import Layout, Pool, Task
from wsi_ai.errors import ModelError
from wsi_ai.hub import CONFIG, Place, find_place, read_json
from wsi_ai.inspected import Inspected

FAMILIES = ("vit", "dinov2", "dinov2_with_registers")
"""Of transformers: what gives (tiles, tokens, features), the class token first."""
_PROCESSOR = "preprocessor_config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_BOOKKEEPING = {"_name_or_path", "dtype", "model_type", "torch_dtype", "transformers_version"}


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder, on this disk."""

    name: str
    weights: Path
    seen: Inspected
    fields: dict[str, Any]
    """Of the card, by dotted name."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Beside what ``config.json`` says."""

    arguments: dict[str, Any] = field(default_factory=dict)
    pool: Pool = Pool.NONE


_GATED = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
_VIRCHOW = _Known(_GATED, Pool.FIRST_AND_MEAN)
_OPTIMUS = _Known({"init_values": 1e-5, "dynamic_img_size": False})
_UNI2 = {
    "img_size": 224,
    "patch_size": 14,
    "depth": 24,
    "num_heads": 24,
    "init_values": 1e-5,
    "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2,
    "no_embed_class": True,
    "reg_tokens": 8,
    "dynamic_img_size": True,
}
_KNOWN = {
    "uni": _Known({"init_values": 1e-5, "dynamic_img_size": True}),
    "uni2-h": _Known({**_UNI2, **_GATED}),
    "virchow": _VIRCHOW,
    "virchow2": _VIRCHOW,
    "h-optimus-0": _OPTIMUS,
    "h-optimus-1": _OPTIMUS,
    "phikon": _Known(pool=Pool.FIRST),
    "phikon-v2": _Known(pool=Pool.FIRST),
}
"""By the repository's name.  All of them were trained at 20×: 0.5 µm/px."""


def load_encoder(source: str) -> Encoder:
    """From a folder; or, where there is none of that name, from a repository of Hugging Face,
    ``OWNER/NAME[@REVISION]``.  Raises ModelError."""
    place = find_place(source)
    config, known = read_json(place.file(CONFIG)), _KNOWN.get(place.name.lower())
    if "architecture" in config:
        fields = _of_timm(config, known or _Known())
    elif config.get("model_type") in FAMILIES:
        fields = _of_transformers(config, known or _Known(), place)
    else:
        raise ModelError(
            f"{CONFIG} names no architecture of timm, and no model_type of {', '.join(FAMILIES)};"
            " export the encoder to ONNX or TorchScript, and use: wsi-ai models init"
        )
    fields["task"] = Task.EMBEDDING.value
    notes: tuple[str, ...] = ()
    if known is not None:
        fields["input.mpp"] = 0.5
        notes = (f"What {CONFIG} leaves out is that of {place.name}, by its name.",)
    return Encoder(place.name, _weights(place), _seen(fields, notes), fields)


def _seen(fields: Mapping[str, Any], notes: tuple[str, ...]) -> Inspected:
    return Inspected(
        format="state-dict",
        layout=Layout.NCHW,
        dtype="float32",
        size_px=fields.get("input.size_px"),
        classes=fields.get("output.features"),
        activation=None,
        notes=notes,
    )


def _of_timm(config: Mapping[str, Any], known: _Known) -> dict[str, Any]:
    given = _part(config, "pretrained_cfg")
    arguments = {**known.arguments, **_part(config, "model_args")}
    arguments.pop("num_classes", None)
    size = given.get("input_size", [3, None])[1]
    if "global_pool" in given:
        arguments.setdefault("global_pool", given["global_pool"])
    if given.get("fixed_input_size"):
        arguments.setdefault("img_size", size)
    return {
        "weights.architecture": f"timm/{config['architecture']}",
        **_pooled(known.pool, config.get("num_features")),
        "weights.arguments": {k: v for k, v in arguments.items() if _plain(v)},
        **_normalised(given.get("mean"), given.get("std"), size),
    }


def _of_transformers(config: Mapping[str, Any], known: _Known, place: Place) -> dict[str, Any]:
    given = _processor(place)
    cropped = given.get("crop_size") if given.get("do_center_crop") else None
    size = cropped or given.get("size") or config.get("image_size")
    return {
        "weights.architecture": f"transformers/{config['model_type']}",
        **_pooled(known.pool, config.get("hidden_size")),
        "weights.arguments": {
            k: v for k, v in config.items() if k not in _BOOKKEEPING and _plain(v)
        },
        **_normalised(given.get("image_mean"), given.get("image_std"), _side(size)),
    }


def _processor(place: Place) -> Mapping[str, Any]:
    """What it says of pictures; nothing where it is missing."""
    try:
        return read_json(place.file(_PROCESSOR))
    except ModelError:
        return {}


def _pooled(pool: Pool, width: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {} if pool is Pool.NONE else {"weights.pool": pool.value}
    if isinstance(width, int):
        fields["output.features"] = 2 * width if pool is Pool.FIRST_AND_MEAN else width
    return fields


def _normalised(mean: Any, std: Any, size: Any) -> dict[str, Any]:
    said = {"input.mean": mean, "input.std": std, "input.size_px": size}
    return {name: value for name, value in said.items() if value is not None}


def _side(size: Any) -> Any:
    """Of a square: a number, or as transformers says it."""
    return size.get("height", size.get("shortest_edge")) if isinstance(size, dict) else size


def _weights(place: Place) -> Path:
    told = ModelError(f"neither {_WEIGHTS[0]} nor {_WEIGHTS[1]} is beside {CONFIG}, whole")
    for name in _WEIGHTS:
        try:
            path = place.file(name)
        except ModelError as error:
            told = error
            continue
        if path.is_file():
            return path
    raise told


def _part(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = config.get(name) or {}
    if not isinstance(part, dict):
        raise ModelError(f"{CONFIG}: {name}: an object is expected")
    return part


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float)
