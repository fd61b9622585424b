"""Encoders that Hugging Face has, as timm or transformers share them: to the draft of a card."""

from pathlib import Path

from wsi_ai.core.cards import Layout
from wsi_ai.errors import ModelError
from wsi_ai.models.drafts.hub import CONFIG, Place, find_place
from wsi_ai.models.drafts.hub_config import FAMILIES, read_config
from wsi_ai.models.drafts.inspected import Inspected, SharedModel

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def load_encoder(source: str) -> SharedModel:
    """From a folder; or, where there is none of that name, from a repository of Hugging Face,
    ``OWNER/NAME[@REVISION]``.  Raises ModelError."""
    place = find_place(source)
    told = read_config(place)
    if told is None:
        raise ModelError(
            f"{CONFIG} names no architecture of timm, and no model_type of {', '.join(FAMILIES)};"
            " export the encoder to ONNX or TorchScript, and use: wsi-ai models init"
        )
    seen = Inspected(
        format="state-dict",
        layout=Layout.NCHW,
        dtype="float32",
        size_px=told.size_px,
        shape=(told.features,),
        activation=None,
        architecture=told.architecture,
        fields=told.fields,
        notes=told.notes,
    )
    return SharedModel(place.name, _weights(place), seen)


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
