"""Models of PyTorch on the host's processor."""

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.environment import threads
from wsi_ai.errors import DeviceError, ModelError, first_line
from wsi_ai.inference.host import HostRuntime
from wsi_ai.inference.torch.forward import TORCH_ERRORS, Forward, open_forward
from wsi_ai.inference.torch.weights import load_module


def open_runtime(card: ModelCard, request: RuntimeRequest) -> HostRuntime:
    """The network in channels-last memory on all cores at hand, tried once.

    Raises ModelError where the weights do not load or do not fit their card, DeviceError where
    the processor has no instructions for the precision.
    """
    _check_precision(request.precision)
    torch.set_num_threads(threads())
    network = _Network(
        open_forward(
            load_module(card, trusted=request.trust_pickle),
            card,
            request.precision,
            torch.device("cpu"),
        )
    )
    version = torch.__version__.partition("+")[0]
    told = f"torch {version}/cpu/{request.precision}"
    runtime = HostRuntime(card, told, network, request.batch_size)
    network.tried = True
    return runtime


class _Network:
    """Until it has run once, what goes wrong is the model's fault."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self.tried = False

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            scores: NDArray[np.float32] = self._forward(torch.from_numpy(pixels)).numpy()
        except TORCH_ERRORS as error:
            if self.tried:
                raise DeviceError(f"inference failed: {first_line(error)}") from None
            raise ModelError(
                f"input: {self._forward.card.weights.name} does not take what its card says:"
                f" {first_line(error)}"
            ) from None
        return scores


def _check_precision(precision: Precision) -> None:
    """Emulated, either would be many times slower than fp32."""
    needs = {
        Precision.FP16: ("avx512_fp16", "amx_fp16"),
        Precision.BF16: ("avx512_bf16", "amx_bf16"),
    }
    can = torch.cpu.get_capabilities()
    if precision is not Precision.FP32 and not any(can.get(flag) for flag in needs[precision]):
        raise DeviceError(
            f"this processor has no instructions for {precision}; give --precision fp32"
        )
