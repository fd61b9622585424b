"""Tensors, or a whole network, from a file of ``torch.save``: a pickle.

A pickle is a program.  Without the user's permission only plain tensors are read, by PyTorch's own
``weights_only``; with it, any code of the file's author is run.
"""

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from wsi_ai.errors import ModelError, first_line
from wsi_ai.inference.torch.archives import check_archive
from wsi_ai.inference.torch.errors import BROKEN, MEANS
from wsi_ai.inference.torch.rehearsal import rehearse

_NESTED = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "model.")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file that was read once."""

    name: str
    content: bytes


def load_state(file: WeightsFile, *, trusted: bool = False) -> dict[str, torch.Tensor]:
    """Tensors by name, in host memory.

    ``state_dict`` is looked up in a training checkpoint; the prefix that DataParallel or Lightning
    puts before every name is removed.  Raises ModelError for a file that could run code, unless it
    is ``trusted``.
    """
    if not trusted:
        if zipfile.is_zipfile(io.BytesIO(file.content)):
            check_archive(file.name, file.content)
        rehearse(file.name, "state-dict", file.content)
    try:
        data = io.BytesIO(file.content)
        content = torch.load(data, map_location="cpu", weights_only=not trusted)
    except BROKEN as error:
        if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error):
            raise ModelError(f"{file.name} holds more than tensors: {MEANS}") from None
        raise ModelError(f"{file.name} does not load: {first_line(error)}") from None
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    return plain_state(file, content)


def load_pickled(file: WeightsFile, *, trusted: bool = False) -> torch.nn.Module:
    """A whole network.  Raises ModelError unless it is ``trusted``, or where it is none."""
    if not trusted:
        raise ModelError(f"{file.name} is a pickle: {MEANS}")
    try:
        data = io.BytesIO(file.content)
        content = torch.load(data, map_location="cpu", weights_only=False)
    except ImportError as error:
        raise ModelError(
            f"{file.name} does not load: {first_line(error)}; install its author's package"
        ) from None
    except BROKEN as error:
        raise ModelError(f"{file.name} does not load: {first_line(error)}") from None
    if not isinstance(content, torch.nn.Module):
        raise ModelError(f"{file.name} holds no network but a {type(content).__name__}")
    return content


def plain_state(file: WeightsFile, content: Any) -> dict[str, torch.Tensor]:
    for name in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{file.name} holds no tensors by name")
    state = dict(content)
    for prefix in _PREFIXES:
        if all(isinstance(name, str) and name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    if strange := [n for n, tensor in state.items() if not isinstance(tensor, torch.Tensor)]:
        raise ModelError(f"{file.name} holds more than tensors: {strange[0]}")
    return state
