"""What the registry calls.  Light: whoever has no device must not pay for its libraries."""

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.plugins import from_extra
from wsi_ai.errors import NoDevice
from wsi_ai.inference.gpu.driver import open_driver


def open_onnx(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """See ``gpu.onnx.open_runtime``.  Raises NoDevice for quantised weights, too: what they gain
    on a device, and what they lose, was not measured."""
    if card.precision is Precision.INT8:
        raise NoDevice("int8 weights run on the processor only; give --device cpu")
    return _open("wsi_ai.inference.gpu.onnx", card, request)


def open_torch(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """See ``gpu.torch.open_runtime``."""
    return _open("wsi_ai.inference.gpu.torch", card, request)


def _open(module: str, card: ModelCard, request: RuntimeRequest) -> Runtime:
    open_driver()
    runtime: Runtime = from_extra(module, "cuda", NoDevice).open_runtime(card, request)
    return runtime
