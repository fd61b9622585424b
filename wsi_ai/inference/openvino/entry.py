"""ONNX models by OpenVINO.  Light: whoever gets another runtime must not pay for its library."""

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import NoDevice
from wsi_ai.inference.onnx.operators import operators


def open_runtime(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """See ``openvino.runtime.open_runtime``.

    Where the device is ``auto`` it declines, by NoDevice, networks of convolutions in fp32, too:
    ONNX Runtime is as fast at these, slower at transformers and in int8 (``benchmarks/infer.py``).
    """
    if request.device == "auto" and not _faster(card, request.precision):
        raise NoDevice("OpenVINO is no faster at networks of convolutions")
    with needs_extra("openvino", NoDevice):
        from wsi_ai.inference.openvino import runtime
    return runtime.open_runtime(card, request)


def _faster(card: ModelCard, precision: Precision) -> bool:
    """In int8; else where matrix products outnumber convolutions, as in a transformer."""
    if precision is Precision.INT8:
        return True
    kinds = operators(card.weights)
    return kinds["MatMul"] + kinds["Gemm"] > kinds["Conv"]
