"""A researcher's own network, as it is in memory: no file, no digest, no golden tiles."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.errors import DeviceError, ModelError, first_line
from wsi_ai.inference.host import HostRuntime
from wsi_ai.inference.scoring import prepare

Network = Callable[[Any], Any]
"""Float32 (tiles, 3, height, width) to (tiles, classes): a ``torch.nn.Module`` takes and gives
tensors, any other callable arrays of NumPy."""


def open_own(network: Network, card: ModelCard, request: RuntimeRequest) -> HostRuntime:
    """On the host's processor, where the network is.  Raises ModelError where it does not fit its
    card or is in training mode, DeviceError where another device is asked for."""
    if request.device not in ("auto", "cpu") or request.precision is not Precision.FP32:
        raise DeviceError(
            "a network in memory runs on the processor in fp32; for others save it as a model:"
            " docs/models.md"
        )
    told = f"{type(network).__module__}.{type(network).__qualname__} in memory/cpu"
    call = _of_module(network) if _is_module(network) else network
    return HostRuntime(card, told, _Called(call, card), request.batch_size)


class _Called:
    """Whatever a researcher's code raises is the model's fault."""

    def __init__(self, call: Network, card: ModelCard) -> None:
        self._call, self._card = call, card

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._call(prepare(pixels, self._card)), np.float32)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise ModelError(f"the network does not take its tiles: {first_line(error)}") from None


def _is_module(network: Network) -> bool:
    """Without importing PyTorch: who has made a module has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(network, torch.nn.Module)


def _of_module(module: Any) -> Network:
    import torch

    if module.training:
        raise ModelError("the network is in training mode: its scores change; call .eval() first")
    place = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))

    def call(tiles: NDArray[np.float32]) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(tiles).to(place)).float().cpu().numpy()

    return call
