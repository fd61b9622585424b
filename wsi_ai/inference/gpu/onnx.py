"""Models in ONNX on a CUDA device, by ONNX Runtime's TensorRT or CUDA provider.

Its kernel has run on the host, over the simulated device; it has not met a real one yet.
"""

import logging
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnxruntime as ort
import torch

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.errors import (
    DeviceError,
    ModelError,
    NoDevice,
    OutOfDeviceMemory,
    WsiAiError,
    first_line,
)
from wsi_ai.inference.gpu.cuda import CudaDevice, open_device
from wsi_ai.inference.gpu.kernel import recoloured_views
from wsi_ai.inference.gpu.providers import CUDA, Way, input_shape, version_of_tensorrt, ways
from wsi_ai.inference.gpu.ring import Ring, RingShape
from wsi_ai.inference.gpu.runtime import (
    RingRuntime,
    open_fitting,
    ring_shape,
    try_once,
    usual_batch,
)
from wsi_ai.inference.gpu.source import tiles_for
from wsi_ai.inference.onnx.runtime import REFUSED, misfit, output_of
from wsi_ai.inference.scoring import output_shape
from wsi_ai.inference.torch.forward import Prepare, open_prepare

log = logging.getLogger(__name__)
_MEMORY = ("out of memory", "allocate memory")
"""What a failure for want of memory says, whatever its type."""


def open_runtime(card: ModelCard, request: RuntimeRequest) -> RingRuntime[torch.Tensor]:
    """A session on the device by the fastest way that works, tried once.

    No part of the network runs on the host.  Raises ModelError where the file does not load or
    does not fit its card, DeviceError where the device is not there or too small, or where nothing
    here computes in the precision.
    """
    if CUDA not in ort.get_available_providers():
        raise NoDevice(
            f"onnxruntime {ort.__version__} here has no CUDA; install the other one with:"
            " pip uninstall onnxruntime && pip install 'wsi-ai[cuda]'"
        )
    tensorrt = version_of_tensorrt()
    if request.precision is not Precision.FP32 and tensorrt is None:
        raise DeviceError(
            f"without TensorRT an ONNX model runs in its own precision, not {request.precision};"
            " install tensorrt, or give --precision fp32"
        )
    device = open_device(request.device)
    possible = ways(card, request.precision, device, tensorrt)

    def build(batch: int) -> RingRuntime[torch.Tensor]:
        torch.cuda.empty_cache()
        return _fastest(card, request, device, ring_shape(card, batch), possible)

    return open_fitting(build, request.batch_size or usual_batch(card))


def _fastest(
    card: ModelCard,
    request: RuntimeRequest,
    device: CudaDevice,
    shape: RingShape,
    possible: list[Way],
) -> RingRuntime[torch.Tensor]:
    """The first way in which one batch succeeds."""
    for way in possible:
        told = f"onnxruntime {ort.__version__}/{device.torch_device} {way.name}/{request.precision}"
        try:
            session = way.open(card, shape)
            kernel = recoloured_views(bind(card, session, shape, device.torch_device), card)
            ring = Ring(device, kernel, shape)
            runtime = RingRuntime(card, told, ring, partial(tiles_for, device))
            try_once(runtime)
        except OutOfDeviceMemory:
            raise
        except WsiAiError as error:
            if way is possible[-1]:
                raise
            log.warning("not by %s: %s", way.name, error)
        else:
            return runtime
    raise DeviceError("no provider of onnxruntime computes in this precision here")


@dataclass(frozen=True, slots=True)
class OnnxKernel:
    """A kernel of the ring over memory of its own, which a CUDA graph may hold on to."""

    card: ModelCard
    session: ort.InferenceSession
    binding: ort.IOBinding
    prepare: Prepare
    tiles: torch.Tensor
    given: torch.Tensor

    def __call__(self, pixels: torch.Tensor, outputs: torch.Tensor) -> None:
        self.tiles.copy_(self.prepare(pixels))
        options = ort.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        try:
            self.session.run_with_iobinding(self.binding, options)
        except (*REFUSED, RuntimeError) as error:  # the latter is what a binding raises
            raise translated(self.card, error) from error
        outputs.copy_(self.given.reshape(outputs.shape))


def translated(card: ModelCard, error: Exception) -> WsiAiError:
    """By its words: ONNX Runtime has no types for these."""
    said = str(error).lower()
    if any(words in said for words in _MEMORY):
        return OutOfDeviceMemory("inference: out of memory on the device")
    if "invalid dimensions" in said:
        return ModelError(misfit(card, error))
    return DeviceError(f"inference failed on the device: {first_line(error)}")


def bind(
    card: ModelCard, session: ort.InferenceSession, shape: RingShape, device: torch.device
) -> OnnxKernel:
    """The session's input and output bound to memory on the device.  Raises ModelError where they
    are not what the card says."""
    wanted = input_shape(card, shape)
    tiles = torch.empty(wanted, dtype=getattr(torch, card.input.dtype), device=device)
    name, told = output_of(card, session), (shape.tiles[0], *output_shape(card))
    (output,) = [output for output in session.get_outputs() if output.name == name]
    flat = len(output.shape) == 1 and told[1:] == (1,)
    given = torch.empty(told[:1] if flat else told, device=device)
    binding, where = session.io_binding(), (device.type, device.index or 0)
    try:
        binding.bind_input(
            session.get_inputs()[0].name,
            *where,
            np.dtype(card.input.dtype),
            wanted,
            tiles.data_ptr(),
        )
        binding.bind_output(output.name, *where, np.float32, tuple(given.shape), given.data_ptr())
    except REFUSED as error:
        raise ModelError(misfit(card, error)) from None
    return OnnxKernel(card, session, binding, open_prepare(card, device), tiles, given)
