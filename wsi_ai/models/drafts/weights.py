"""Which kind of file is it, and what does it say?"""

import zipfile
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from wsi_ai.core.plugins import needs_extra
from wsi_ai.core.regular_file import open_regular
from wsi_ai.errors import ModelError
from wsi_ai.models.drafts.inspected import Inspected

_HDF5 = b"\x89HDF\r\n\x1a\n"


def inspect_weights(path: Path, output: str = "", *, trusted: bool = False) -> Inspected:
    """By the file's content.  ``output``: the name of the one that holds the scores, where there
    are several.  ``trusted``: a pickle may run its author's code.  Raises ModelError, also where
    the library that reads such files is not installed."""
    try:
        kind = _kind(path)
    except OSError as error:
        raise ModelError(f"{path.name}: {error.strerror}") from None
    if kind == "onnx":
        seen: Inspected = onnx_files().inspect(path, output)
        return seen
    with needs_extra("torch", ModelError):
        from wsi_ai.models.drafts import torch_file
    kind = kind or torch_file.kind_of_pickle(path, trusted=trusted)
    return torch_file.inspect(path, kind, trusted=trusted)


def _kind(path: Path) -> str | None:
    """A format of the card; ``None`` for a pickle, which only PyTorch can look into."""
    with open_regular(path) as file:
        head = file.read(16)
        if path.suffix == ".safetensors":
            return "state-dict"
        if zipfile.is_zipfile(file):
            return _kind_of_archive(path.name, file)
    if path.suffix == ".onnx" or head.startswith(b"\x08"):
        return "onnx"
    if head.startswith(b"\x80"):
        return None
    if head.startswith(_HDF5):
        raise ModelError(_of_keras(path.name))
    raise ModelError(f"{path.name} is no file of ONNX, PyTorch or safetensors")


def _kind_of_archive(name: str, file: BinaryIO) -> str | None:
    try:
        names = zipfile.ZipFile(file).namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise ModelError(f"{name} is damaged: its list of contents cannot be read") from None
    inside = {name.partition("/")[2] for name in names}
    if "config.json" in names and "metadata.json" in names:
        raise ModelError(_of_keras(name))
    if "constants.pkl" in inside:
        return "torchscript"
    return "pt2" if "models/model.json" in inside else None


def _of_keras(name: str) -> str:
    return (
        f"{name} is a model of Keras, which is not run here; export it to ONNX where it was"
        ' trained: model.export("model.onnx", format="onnx")'
    )


def onnx_files() -> ModuleType:
    """What reads ONNX files.  Raises ModelError where its library is not installed."""
    with needs_extra("cpu", ModelError):
        from wsi_ai.models.drafts import onnx_file
    return onnx_file
