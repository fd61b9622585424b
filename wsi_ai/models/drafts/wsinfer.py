"""Models of the WSInfer zoo: ``config.json``, spec 1.0, to the fields of a model card.

The format is that of ``wsinfer_zoo/schemas/model-config.schema.json``; what WSInfer 0.6 does with
it, ``wsinfer/modellib`` and ``wsinfer/patchlib``.
"""

from typing import Any

from wsi_ai import schemas
from wsi_ai.core.cards import Activation, Layout, ReadLike
from wsi_ai.errors import ModelError
from wsi_ai.models.drafts.hub import CONFIG, find_place, read_json
from wsi_ai.models.drafts.inspected import Inspected, SharedModel

WEIGHTS = "torchscript_model.pt"
_ORDER = ["Resize", "ToTensor", "Normalize"]


def load_zoo_model(source: str) -> SharedModel:
    """From a folder; or, where there is none of that name, from a repository of Hugging Face,
    ``OWNER/NAME[@REVISION]``.  Raises ModelError."""
    place = find_place(source)
    config = read_json(place.file(CONFIG))
    if wrong := schemas.complaint("wsinfer-model-1", config) or _contradiction(config):
        raise ModelError(f"{CONFIG}: {wrong}")
    weights = place.file(WEIGHTS)
    if not weights.is_file():
        raise ModelError(f"{weights.name} is not beside {CONFIG}")
    return SharedModel(place.name, weights, _seen(config))


def _contradiction(config: dict[str, Any]) -> str | None:
    if len(config["class_names"]) != config["num_classes"]:
        return "class_names: not as many as num_classes"
    steps = [step["name"] for step in config["transform"]]
    if steps not in (_ORDER, _ORDER[:2]):
        return f"transform: {steps}; Resize, ToTensor and then Normalize are understood"
    resize = config["transform"][0].get("arguments") or {}
    if not isinstance(resize.get("size"), int) or set(resize) != {"size"}:
        return "transform.0.arguments: a size in pixels is understood, and nothing else"
    return None


def _seen(config: dict[str, Any]) -> Inspected:
    """WSInfer takes the softmax of several logits and the sigmoid of one."""
    several = config["num_classes"] > 1
    return Inspected(
        format="torchscript",
        layout=Layout.NCHW,
        dtype="float32",
        size_px=config["transform"][0]["arguments"]["size"],
        shape=(config["num_classes"],),
        activation=Activation.SOFTMAX if several else Activation.SIGMOID,
        names=tuple(config["class_names"]),
        fields=_fields(config),
        notes=(f"architecture: {config['architecture']}",),
    )


def _fields(config: dict[str, Any]) -> dict[str, Any]:
    """A patch is so many micrometres wide, whatever its size is once it is resized."""
    side_um = config["patch_size_pixels"] * config["spacing_um_px"]
    size = config["transform"][0]["arguments"]["size"]
    normalise = (config["transform"][2:] or [{}])[0].get("arguments") or {}
    fields: dict[str, Any] = {
        "input.mpp": side_um / size,
        "input.mean": normalise.get("mean", [0, 0, 0]),
        "input.std": normalise.get("std", [1, 1, 1]),
        "input.parity": ReadLike.WSINFER.value,
    }
    if config["num_classes"] == 1:
        fields["operating_point.class"] = config["class_names"][0]
    return fields
