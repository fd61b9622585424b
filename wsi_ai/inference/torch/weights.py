"""Files of PyTorch → modules, without unpickling what could run code."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from wsi_ai.core.cards import ModelCard, Pool
from wsi_ai.core.plugins import from_extra
from wsi_ai.errors import DeviceError, ModelError, first_line
from wsi_ai.inference.torch.devices import HOST, exported_for, name_device
from wsi_ai.inference.torch.encoders import Pooled, arguments_for
from wsi_ai.inference.torch.pickles import BROKEN, load_pickled, load_state, plain_state

_MISFIT, _LINE = "Error(s) in loading state_dict", 150
_PLAIN = ("archive_format", "archive_version", "byteorder")


def load_module(
    card: ModelCard, *, trusted: bool = False, device: torch.device = HOST
) -> torch.nn.Module:
    """The card's network, ready for inference.  In host memory but for what a ``device`` is written
    into, in graphs and constants: a later ``.to(device)`` would not find that.

    The formats are ``pt2`` (torch.export), ``torchscript``, ``state-dict`` of an architecture that
    torchvision or timm names, and ``pickle``.  What could run its author's code is refused unless
    it is ``trusted``.  Raises ModelError where the file does not load, DeviceError where the
    library that knows the architecture is not installed.
    """
    if card.format != "state-dict":
        return load_whole(card.weights, card.format, trusted=trusted, device=device)
    return _loaded(card.weights, partial(_named, card, trusted=trusted))


def load_whole(
    path: Path, kind: str, *, trusted: bool = False, device: torch.device = HOST
) -> torch.nn.Module:
    """The same of a file that holds the whole network: ``pt2``, ``torchscript`` or ``pickle``."""
    return _loaded(path, partial(_FORMATS[kind], path, trusted=trusted, device=device))


def _loaded(path: Path, load: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    try:
        return load()
    except BROKEN as error:
        raise ModelError(f"{path.name} does not load: {_error_line(error)}") from None


def _error_line(error: Exception) -> str:
    """In one line; of tensors that are not the architecture's, the first complaint."""
    lines = str(error).splitlines()
    if len(lines) > 1 and lines[0].startswith(_MISFIT):
        complaint = lines[1].strip()
        short = complaint if len(complaint) <= _LINE else f"{complaint[:_LINE]}…"
        return f"weights.architecture, weights.arguments or output.classes do not fit it: {short}"
    return first_line(error)


def _exported(path: Path, *, trusted: bool, device: torch.device) -> torch.nn.Module:
    content = path.read_bytes()
    wrong = None if trusted else pickled_part(content)
    if wrong:
        raise ModelError(
            f"{path.name} holds {wrong}, which could run code when it is loaded;"
            " export the network again from plain tensors, or give --trust-pickle if you trust"
            " whoever made it"
        )
    program = torch.export.load(io.BytesIO(content))
    module: torch.nn.Module = exported_for(program, device).module()
    return module


def pickled_part(content: bytes) -> str | None:
    """What in an archive of ``torch.export`` is more than tensors and a graph: pickles, compiled
    code, anything unknown.  ``torch.export.load`` would take all of it.

    The graph that is left is a program still: run models of people you trust, by their digest.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            inside = PurePosixPath(*PurePosixPath(name).parts[1:])
            if not _plain(inside, partial(archive.read, name)):
                return str(inside)
    return None


def _plain(inside: PurePosixPath, read: Callable[[], bytes]) -> bool:
    """Whether a member is plain data; layout of ``torch.export.pt2_archive``, torch 2.14."""
    match inside.parts:
        case ["data", "weights" | "constants", name] if name.endswith("_config.json"):
            return all(_plain_tensor(entry) for entry in json.loads(read())["config"].values())
        case ["data", "weights", name]:
            return name.startswith("weight_")
        case ["data", "constants", name]:
            return name.startswith("tensor_")
        case ["data", "sample_inputs", _]:
            torch.load(io.BytesIO(read()), weights_only=True)
            return True
        case [".data", _] | ["models", "model.json"]:
            return True
        case _:
            return str(inside) in _PLAIN


def _plain_tensor(entry: dict[str, Any]) -> bool:
    path = str(entry["path_name"])
    return entry["use_pickle"] is False and path.startswith(("weight_", "tensor_"))


def _scripted(path: Path, *, trusted: bool, device: torch.device) -> torch.nn.Module:
    """Trusted or not: TorchScript is read without running Python."""
    del trusted
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # of torch, that this format is on its way out
        module: torch.nn.Module = torch.jit.load(str(path), map_location="cpu")
    name_device(module, device)
    return module.eval()


def _pickled(path: Path, *, trusted: bool, device: torch.device) -> torch.nn.Module:
    del device  # nothing is written into code that is run as it is
    return load_pickled(path, trusted=trusted).eval()


def _named(card: ModelCard, *, trusted: bool) -> torch.nn.Module:
    classes = 0 if card.gives_vectors else len(card.classes)
    module = build(card.architecture, classes, dict(card.arguments))
    if card.weights.suffix == ".safetensors":
        weights = plain_state(card.weights, _module("safetensors.torch").load_file(card.weights))
    else:
        weights = load_state(card.weights, trusted=trusted)
    if card.architecture.startswith("transformers/"):
        module = _transformers().filled(module, weights)
    else:
        module.load_state_dict(weights)
    whole = module if card.pool is Pool.NONE else Pooled(module, card.pool)
    return whole.eval()


def build(
    architecture: str, classes: int, arguments: Mapping[str, Any] | None = None
) -> torch.nn.Module:
    """An untrained network by its name; nothing is downloaded.  Raises DeviceError where its
    library is missing, ValueError, TypeError or RuntimeError where that does not know it."""
    library, _, name = architecture.partition("/")
    return _ARCHITECTURES[library](name, classes, arguments or {})


def _of_torchvision(name: str, classes: int, arguments: Mapping[str, Any]) -> torch.nn.Module:
    module: torch.nn.Module = _module("torchvision").models.get_model(
        name, weights=None, num_classes=classes, **arguments
    )
    return module


def _of_timm(name: str, classes: int, arguments: Mapping[str, Any]) -> torch.nn.Module:
    given = {"num_classes": classes, **arguments_for(arguments)}
    module: torch.nn.Module = _module("timm").create_model(name, pretrained=False, **given)
    return module


def _of_transformers(name: str, classes: int, arguments: Mapping[str, Any]) -> torch.nn.Module:
    """Gives tokens, whatever the classes."""
    module: torch.nn.Module = _transformers().build(name, arguments)
    return module


def _transformers() -> Any:
    return _module("wsi_ai.inference.torch.transformers", "hub")


def _module(name: str, extra: str = "torch") -> Any:
    return from_extra(name, extra, DeviceError)


_FORMATS: dict[str, Callable[..., torch.nn.Module]] = {
    "pickle": _pickled,
    "pt2": _exported,
    "torchscript": _scripted,
}
_ARCHITECTURES = {
    "torchvision": _of_torchvision,
    "timm": _of_timm,
    "transformers": _of_transformers,
}
