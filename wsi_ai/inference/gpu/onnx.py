"""Models in ONNX on a CUDA device, by ONNX Runtime's TensorRT or CUDA provider.

Its kernel has run on the host, over the simulated device; it has not met a real one yet.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import (
    DeviceError,
    ModelError,
    NoDevice,
    OutOfDeviceMemory,
    WsiAiError,
    first_line,
)
from wsi_ai.inference.gpu.cutting import Form, form_for
from wsi_ai.inference.gpu.kernel import Placed, Prepare, address, open_prepare, recoloured_views
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

log = logging.getLogger(__name__)
_MEMORY = ("out of memory", "allocate memory")
"""What a failure for want of memory says, whatever its type."""


def open_runtime(card: ModelCard, request: RuntimeRequest) -> RingRuntime[Any]:
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
    with needs_extra("cuda", NoDevice):
        from wsi_ai.inference.gpu.cuda import open_device
    device = open_device(request.device)
    ort.preload_dlls()  # of CUDA and cuDNN, from their wheels
    tensorrt = version_of_tensorrt()

    def build(batch: int) -> RingRuntime[Any]:
        device.empty_cache()
        possible = ways(card, request.precision, device, tensorrt, batch)
        return _fastest(card, request, device, ring_shape(card, batch, form_for(card)), possible)

    return open_fitting(build, request.batch_size or usual_batch(card), request.precision)


def _fastest(
    card: ModelCard,
    request: RuntimeRequest,
    device: Any,
    shape: RingShape,
    possible: list[Way],
) -> RingRuntime[Any]:
    """The first way in which one batch succeeds."""
    import cupy

    for way in possible:
        described = (
            f"onnxruntime {ort.__version__}/cuda:{device.index} {way.name}/{request.precision}"
        )
        try:
            kernel = bind(card, way.open(card, shape), shape, ("cuda", device.index), cupy)
            ring = Ring(device, recoloured_views(kernel, card, Placed(cupy)), shape)
            runtime = RingRuntime(card, described, ring, partial(tiles_for, device, shape.form))
            try_once(runtime, request.precision)
        except OutOfDeviceMemory:
            raise
        except WsiAiError as error:
            if way is possible[-1]:
                raise
            log.warning("not by %s: %s", way.name, error)
        else:
            return runtime
    raise DeviceError("no provider of onnxruntime computes in this precision here")


@dataclass(frozen=True, slots=True, eq=False)
class OnnxKernel:
    """A kernel of the ring: the network reads a slot where it lies, unless something is to be done
    to it first, and writes into memory of its own."""

    card: ModelCard
    session: ort.InferenceSession
    binding: ort.IOBinding
    where: tuple[str, int]
    form: Form
    prepare: Prepare
    given: Any

    def __call__(self, pixels: Any, outputs: Any) -> None:
        tiles = self.prepare(pixels) if self.form.is_rgb else pixels
        options = ort.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        name = self.session.get_inputs()[0].name
        try:
            self.binding.bind_input(
                name, *self.where, np.dtype(self.card.input.dtype), tiles.shape, address(tiles)
            )
            self.session.run_with_iobinding(self.binding, options)
        except (*REFUSED, RuntimeError) as error:  # the latter is what a binding raises
            raise translated(self.card, error) from error
        outputs[...] = self.given.reshape(outputs.shape)


def translated(card: ModelCard, error: Exception) -> WsiAiError:
    """By its words: ONNX Runtime has no types for these."""
    text = str(error).lower()
    if any(words in text for words in _MEMORY):
        return OutOfDeviceMemory("inference: out of memory on the device")
    if "invalid dimensions" in text:
        return ModelError(misfit(card, error))
    return DeviceError(f"inference failed on the device: {first_line(error)}")


def bind(
    card: ModelCard,
    session: ort.InferenceSession,
    shape: RingShape,
    where: tuple[str, int],
    xp: Any,
) -> OnnxKernel:
    """The session's output bound to memory where it runs, which ``xp`` allocates.  Raises
    ModelError where input or output are not what the card says."""
    name, wanted = output_of(card, session), (shape.tiles[0], *output_shape(card))
    (output,) = [output for output in session.get_outputs() if output.name == name]
    flat = len(output.shape) == 1 and wanted[1:] == (1,)
    given = xp.empty(wanted[:1] if flat else wanted, np.float32)
    white = xp.full(input_shape(card, shape), 255, card.input.dtype)
    binding = session.io_binding()
    try:
        first = session.get_inputs()[0].name
        binding.bind_input(first, *where, np.dtype(card.input.dtype), white.shape, address(white))
        binding.bind_output(output.name, *where, np.float32, tuple(given.shape), address(given))
    except REFUSED as error:
        raise ModelError(misfit(card, error)) from None
    prepare = open_prepare(card, xp)
    return OnnxKernel(card, session, binding, where, shape.form, prepare, given)
