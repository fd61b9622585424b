"""PyTorch files to modules, without unpickling what could run code."""

import io
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import torch

from wsi_ai.core.cards import Activation, ModelCard, Pool
from wsi_ai.core.plugins import from_extra, needs_extra
from wsi_ai.errors import DeviceError, ModelError, first_line
from wsi_ai.inference.ends import already_done
from wsi_ai.inference.sealed import sealed_weights
from wsi_ai.inference.torch.chance import by_chance
from wsi_ai.inference.torch.devices import HOST, exported_for, name_device
from wsi_ai.inference.torch.encoders import Pooled, arguments_for
from wsi_ai.inference.torch.ends import ends_in_scores
from wsi_ai.inference.torch.errors import BROKEN, MEANS
from wsi_ai.inference.torch.pickles import (
    WeightsFile,
    load_pickled,
    load_state,
    plain_state,
)
from wsi_ai.inference.torch.programs import checked_program
from wsi_ai.inference.torch.rehearsal import rehearse
from wsi_ai.inference.torch.scripts import checked_script, foreign_operators
from wsi_ai.inference.trial import unsteady

_MISFIT, _LINE = "Error(s) in loading state_dict", 150


def load_module(
    card: ModelCard, *, trusted: bool = False, device: torch.device = HOST
) -> torch.nn.Module:
    """The card's network, ready for inference.  In host memory but for what a ``device`` is written
    into, in graphs and constants: a later ``.to(device)`` would not find that.

    The formats are ``pt2`` (torch.export), ``torchscript``, ``state-dict`` of an architecture that
    torchvision or timm names, and ``pickle``.  What could run its author's code is refused unless
    it is ``trusted``.  Raises ModelError where the file is not the card's or does not load, or
    where the card asks for an activation that the network has done; DeviceError where the library
    that knows the architecture is not installed.
    """
    file = WeightsFile(card.weights.name, sealed_weights(card))
    if card.format == "state-dict":
        return _loaded(file, partial(_named, card, file, trusted=trusted))
    module = load_whole(file, card.format, trusted=trusted, device=device)
    if card.activation is not Activation.NONE and ends_in_scores(module):
        raise ModelError(already_done(file.name, card.activation))
    return module


def load_whole(
    file: WeightsFile, kind: str, *, trusted: bool = False, device: torch.device = HOST
) -> torch.nn.Module:
    """The same of a file that holds the whole network: ``pt2``, ``torchscript`` or ``pickle``."""
    return _loaded(file, partial(_FORMATS[kind], file, trusted=trusted, device=device))


def _loaded(file: WeightsFile, load: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    try:
        return load()
    except BROKEN as error:
        raise ModelError(f"{file.name} does not load: {_error_line(error)}") from None


def _error_line(error: Exception) -> str:
    """The error in one line; for tensors that do not fit the architecture, the first complaint."""
    lines = str(error).splitlines()
    if len(lines) > 1 and lines[0].startswith(_MISFIT):
        complaint = lines[1].strip()
        short = complaint if len(complaint) <= _LINE else f"{complaint[:_LINE]}…"
        return f"weights.architecture, weights.arguments or output.classes do not fit it: {short}"
    return first_line(error)


def _exported(file: WeightsFile, *, trusted: bool, device: torch.device) -> torch.nn.Module:
    content = file.content
    if not trusted:
        content = checked_program(file.name, content)
        rehearse(file.name, "pt2", content)
    program = torch.export.load(io.BytesIO(content))
    module: torch.nn.Module = exported_for(program, device).module()
    return _steady(file, module)


def _scripted(file: WeightsFile, *, trusted: bool, device: torch.device) -> torch.nn.Module:
    content = file.content
    if not trusted:
        content = checked_script(file.name, content)
        if foreign := foreign_operators(rehearse(file.name, "torchscript", content)):
            raise ModelError(
                f"{file.name} holds the operator {foreign[0]}, which is not known to compute and do"
                f" nothing else: {MEANS}"
            )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # of torch, that this format is on its way out
        module: torch.nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu")
    module = _steady(file, module.eval())
    name_device(module, device)
    return module


def _steady(file: WeightsFile, module: torch.nn.Module) -> torch.nn.Module:
    """Raises ModelError where it draws by chance."""
    if drawing := by_chance(module):
        raise ModelError(unsteady(file.name, f"{drawing} draws by chance"))
    return module


def _pickled(file: WeightsFile, *, trusted: bool, device: torch.device) -> torch.nn.Module:
    del device  # nothing is written into code that is run as it is
    return load_pickled(file, trusted=trusted).eval()


def _named(card: ModelCard, file: WeightsFile, *, trusted: bool) -> torch.nn.Module:
    classes = 0 if card.gives_vectors else len(card.classes)
    module = build(card.architecture, classes, dict(card.arguments))
    if card.weights.suffix == ".safetensors":
        weights = plain_state(file, safe_tensors(file))
    else:
        weights = load_state(file, trusted=trusted)
    if card.architecture.startswith("transformers/"):
        module = _transformers().filled(module, weights)
    else:
        module.load_state_dict(weights)
    whole = module if card.pool is Pool.NONE else Pooled(module, card.pool)
    return whole.eval()


def safe_tensors(file: WeightsFile) -> dict[str, torch.Tensor]:
    """Raises ModelError."""
    refused = _module("safetensors").SafetensorError
    try:
        tensors: dict[str, torch.Tensor] = _module("safetensors.torch").load(file.content)
    except (refused, KeyError, ValueError, OverflowError) as error:
        raise ModelError(f"{file.name} does not load: {first_line(error)}") from None
    return tensors


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
    """Gives tokens, however many classes there are."""
    module: torch.nn.Module = _transformers().build(name, arguments)
    return module


def _transformers() -> ModuleType:
    with needs_extra("hub", DeviceError):
        from wsi_ai.inference.torch import transformers
    return transformers


def _module(name: str) -> Any:
    return from_extra(name, "torch", DeviceError)


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
