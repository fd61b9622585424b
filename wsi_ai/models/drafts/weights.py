"""Which kind of file is it, and what does it say?"""

import zipfile
from pathlib import Path
from types import ModuleType

from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import ModelError
from wsi_ai.models.drafts.inspected import Inspected


def inspect_weights(path: Path, *, trusted: bool = False) -> Inspected:
    """By the file's content.  ``trusted``: a pickle may run its author's code.  Raises ModelError,
    also where the library that reads such files is not installed."""
    try:
        kind = _kind(path)
    except OSError as error:
        raise ModelError(f"{path.name}: {error.strerror}") from None
    if kind == "onnx":
        seen: Inspected = onnx_files().inspect(path)
        return seen
    with needs_extra("torch", ModelError):
        from wsi_ai.models.drafts import torch_file
    kind = kind or torch_file.kind_of_pickle(path, trusted=trusted)
    return torch_file.inspect(path, kind, trusted=trusted)


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


def onnx_files() -> ModuleType:
    """What reads ONNX files.  Raises ModelError where its library is not installed."""
    with needs_extra("cpu", ModelError):
        from wsi_ai.models.drafts import onnx_file
    return onnx_file
