"""What the ``config.json`` of a network that Hugging Face has, by timm or transformers, says of it.

timm's is what ``timm.models.push_to_hf_hub`` writes; that of transformers what ``save_pretrained``
writes.  What neither says of a well-known encoder is in ``_KNOWN``, from its own page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wsi_ai.core.cards import Pool
from wsi_ai.errors import ModelError
from wsi_ai.models.drafts.hub import CONFIG, Place, read_json

FAMILIES = ("vit", "dinov2", "dinov2_with_registers")
"""Of transformers: what gives (tiles, tokens, features), the class token first."""
_PROCESSOR = "preprocessor_config.json"
_BOOKKEEPING = {"_name_or_path", "dtype", "model_type", "torch_dtype", "transformers_version"}


@dataclass(frozen=True, slots=True)
class HubConfig:
    """``None`` where it does not say."""

    architecture: str | None
    """As the card has it."""
    size_px: int | None
    features: int | None
    """Length of the vector."""
    fields: Mapping[str, Any]
    """Of the card, by dotted name."""
    notes: tuple[str, ...]
    """For a person to read."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Beside what ``config.json`` says."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
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


def read_config(place: Place) -> HubConfig | None:
    """``None`` where it is of neither library.  Raises ModelError."""
    config, known = read_json(place.file(CONFIG)), _KNOWN.get(place.name.lower())
    family, about = config.get("model_type"), known or _Known()
    if isinstance(config.get("architecture"), str):
        made = _of_timm(config, about)
    elif family in FAMILIES:
        made = _of_transformers(config, about, _processor(place))
    else:
        return None
    if known is None:
        return made
    note = f"what {CONFIG} leaves out is that of {place.name}, by its name"
    fields = {**made.fields, "input.mpp": 0.5}
    if known.pool is not Pool.NONE:
        fields["weights.pool"] = known.pool.value
    return HubConfig(made.architecture, made.size_px, made.features, fields, (*made.notes, note))


def _of_timm(config: Mapping[str, Any], known: _Known) -> HubConfig:
    trained = _part(config, "pretrained_cfg")
    size = _whole((trained.get("input_size") or [None])[-1])
    arguments = {**known.arguments, **_part(config, "model_args")}
    arguments.pop("num_classes", None)  # the card's task and classes say it
    if trained.get("global_pool") is not None:
        arguments.setdefault("global_pool", trained["global_pool"])
    if trained.get("fixed_input_size"):
        arguments.setdefault("img_size", size)
    return HubConfig(
        architecture=f"timm/{config['architecture']}",
        size_px=size,
        features=_pooled(config.get("num_features"), known.pool),
        fields=_fields(arguments, trained.get("mean"), trained.get("std")),
        notes=(f"architecture, arguments, mean and std: {CONFIG} beside it",),
    )


def _of_transformers(
    config: Mapping[str, Any], known: _Known, processor: Mapping[str, Any]
) -> HubConfig:
    cropped = processor.get("crop_size") if processor.get("do_center_crop") else None
    arguments = {name: value for name, value in config.items() if name not in _BOOKKEEPING}
    return HubConfig(
        architecture=f"transformers/{config['model_type']}",
        size_px=_side(cropped or processor.get("size") or config.get("image_size")),
        features=_pooled(config.get("hidden_size"), known.pool),
        fields=_fields(arguments, processor.get("image_mean"), processor.get("image_std")),
        notes=(f"architecture and arguments: {CONFIG}; mean and std: {_PROCESSOR} beside it",),
    )


def _processor(place: Place) -> Mapping[str, Any]:
    """What it says of pictures; nothing where it is missing."""
    try:
        return read_json(place.file(_PROCESSOR))
    except ModelError:
        return {}


def _fields(arguments: Mapping[str, Any], mean: Any, std: Any) -> dict[str, Any]:
    plain = {name: v for name, v in arguments.items() if isinstance(v, str | int | float)}
    said = {"weights.arguments": plain, "input.mean": mean, "input.std": std}
    return {name: value for name, value in said.items() if value}


def _pooled(width: Any, pool: Pool) -> int | None:
    features = _whole(width)
    return 2 * features if features and pool is Pool.FIRST_AND_MEAN else features


def _side(size: Any) -> int | None:
    """Of a square: a number, or as transformers says it."""
    return _whole(size.get("height", size.get("shortest_edge")) if isinstance(size, dict) else size)


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) else None


def _part(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = config.get(name) or {}
    if not isinstance(part, dict):
        raise ModelError(f"{CONFIG}: {name}: an object is expected")
    return part
