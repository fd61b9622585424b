"""Models in ONNX, by OpenVINO on the host's processor."""

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from wsi_ai.core.cards import Layout, ModelCard, Precision, RuntimeRequest
from wsi_ai.core.environment import threads
from wsi_ai.errors import DeviceError, ModelError, NoDevice, first_line
from wsi_ai.inference.host import HostRuntime, Trial, usual_batch
from wsi_ai.inference.onnx.ends import check_graph
from wsi_ai.inference.onnx.operators import read_graph
from wsi_ai.inference.scoring import prepare, room_for
from wsi_ai.inference.sealed import sealed_weights

_TYPES = {
    Precision.FP32: "f32",
    Precision.FP16: "f16",
    Precision.BF16: "bf16",
    Precision.INT8: "f32",  # of what the file leaves unquantised
}


def open_runtime(card: ModelCard, request: RuntimeRequest) -> HostRuntime:
    """The network compiled for a fixed batch on all available cores, tried once.

    Where the device is ``auto`` it declines, by NoDevice, what it cannot read.  Raises ModelError
    where the file does not load or does not fit its card, DeviceError where the processor has no
    instructions for the precision.
    """
    core = ov.Core()
    if request.precision is not Precision.FP32:
        _check_precision(core, request.precision)
    settings = {
        "INFERENCE_PRECISION_HINT": _TYPES[request.precision],
        "INFERENCE_NUM_THREADS": threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    content = sealed_weights(card)
    check_graph(card, read_graph(content))
    try:
        model = core.read_model(content)
        _check_input(card, model)
        model.reshape(_shape(card, card.input.batch or request.batch_size or usual_batch(card)))
        compiled = core.compile_model(model, "CPU", settings)
        output = compiled.output(card.output.name or 0)
    except RuntimeError as error:
        kind = NoDevice if request.device == "auto" else ModelError
        raise kind(f"{card.weights.name} does not load: {_error_line(error)}") from None
    asked = compiled.create_infer_request()
    room = room_for(card, request.batch_size or usual_batch(card))

    def network(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            outputs = asked.infer([prepare(pixels, card, room)], share_inputs=True)
        except RuntimeError as error:
            raise DeviceError(f"inference failed: {_error_line(error)}") from None
        return np.array(outputs[output], np.float32)

    version = ov.__version__.partition("-")[0]
    told = f"openvino {version}/cpu/{request.precision}"
    return HostRuntime(card, told, network, request.batch_size, Trial(request.precision))


def _shape(card: ModelCard, batch: int) -> list[int]:
    side = card.network_px
    return [batch, side, side, 3] if card.input.layout is Layout.NHWC else [batch, 3, side, side]


def _check_input(card: ModelCard, model: ov.Model) -> None:
    """Checked, because OpenVINO would convert the type and overrule the shape silently."""
    takes, given = model.inputs[0], ov.PartialShape([-1, *_shape(card, 1)[1:]])
    kind, shape = np.dtype(takes.get_element_type().to_dtype()).name, takes.get_partial_shape()
    if kind != card.input.dtype or not shape.compatible(given):
        raise ModelError(
            f"input: {card.weights.name} does not take what its card says: {kind} {shape}, not"
            f" {card.input.dtype} {given}"
        )


def _check_precision(core: ov.Core, precision: Precision) -> None:
    """Checked, because it would silently run in another precision, or in one that is emulated."""
    can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision is not Precision.INT8 and precision.upper() not in can:
        raise DeviceError(
            f"this processor has no instructions for {precision}; give --precision fp32"
        )


def _error_line(error: Exception) -> str:
    """OpenVINO's message, without the place in its sources with which it begins."""
    lines = [line for line in str(error).splitlines() if line and "Exception from src" not in line]
    return lines[0] if lines else first_line(error)
