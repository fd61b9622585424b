"""What the registry calls.  Light: whoever has no device must not pay for its libraries."""

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import NoDevice
from wsi_ai.inference.gpu.driver import open_driver


def open_onnx(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """See ``gpu.onnx.open_runtime``.  Raises NoDevice for quantised weights, too: what they gain
    on a device, and what they lose, was not measured."""
    if card.precision is Precision.INT8:
        raise NoDevice("int8 weights run on the processor only; give --device cpu")
    open_driver()
    with needs_extra("cuda", NoDevice):
        from wsi_ai.inference.gpu import onnx
    return onnx.open_runtime(card, request)


def open_torch(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """See ``gpu.torch.open_runtime``."""
    open_driver()
    with needs_extra("cuda,torch", NoDevice):
        from wsi_ai.inference.gpu import torch
    return torch.open_runtime(card, request)
