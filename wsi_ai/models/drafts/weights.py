"""Which kind of file is it, and what does it say?"""

import zipfile
from pathlib import Path
from typing import Any

from wsi_ai.core.plugins import from_extra
from wsi_ai.errors import ModelError
from wsi_ai.models.drafts.inspected import Inspected

_EXTRAS = {"onnx_file": "cpu", "torch_file": "torch"}


def inspect_weights(path: Path, *, trusted: bool = False) -> Inspected:
    """By the file's content.  ``trusted``: a pickle may run its author's code.  Raises ModelError,
    also where the library that reads such files is not installed."""
    try:
        kind = _kind(path)
    except OSError as error:
        raise ModelError(f"{path.name}: {error.strerror}") from None
    if kind == "onnx":
        seen: Inspected = library("onnx_file").inspect(path)
        return seen
    torch_file = library("torch_file")
    kind = kind or torch_file.kind_of_pickle(path, trusted=trusted)
    found: Inspected = torch_file.inspect(path, kind, trusted=trusted)
    return found


def _kind(path: Path) -> str | None:
    """A format of the card; ``None`` for a pickle, which only PyTorch can look into."""
    with path.open("rb") as file:
        head = file.read(16)
    if path.suffix == ".safetensors":
        return "state-dict"
    if zipfile.is_zipfile(path):
        inside = {name.partition("/")[2] for name in zipfile.ZipFile(path).namelist()}
        if "constants.pkl" in inside:
            return "torchscript"
        return "pt2" if "models/model.json" in inside else None
    if path.suffix == ".onnx" or head.startswith(b"\x08"):
        return "onnx"
    if head.startswith(b"\x80"):
        return None
    raise ModelError(f"{path.name} is no file of ONNX, PyTorch or safetensors")


def library(name: str) -> Any:
    """What reads such files.  Raises ModelError where it is not installed."""
    return from_extra(f"wsi_ai.models.drafts.{name}", _EXTRAS[name], ModelError)
