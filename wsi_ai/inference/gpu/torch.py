"""Models of PyTorch on a CUDA device.  Has not met one yet: see ``benchmarks/gpu.sh``."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.errors import DeviceError, ModelError, first_line
from wsi_ai.inference.gpu.cuda import CudaDevice, device_errors, open_device
from wsi_ai.inference.gpu.kernel import recoloured_views
from wsi_ai.inference.gpu.ring import Ring, RingShape
from wsi_ai.inference.gpu.runtime import RingRuntime, open_fitting, ring_shape, usual_batch
from wsi_ai.inference.gpu.source import tiles_for
from wsi_ai.inference.scoring import FIELDS, fits
from wsi_ai.inference.torch.forward import TORCH_ERRORS, Forward, open_forward
from wsi_ai.inference.torch.weights import load_module

log = logging.getLogger(__name__)
_WARM_UPS = 3
"""Runs before a capture, in which libraries choose their algorithms and allocate."""


def open_runtime(card: ModelCard, request: RuntimeRequest) -> RingRuntime[torch.Tensor]:
    """The network on the device, captured as a CUDA graph where it can be, tried once.

    Raises ModelError where the weights do not load or do not fit their card, DeviceError where
    the device is not there, too small, or has no instructions for the precision.
    """
    device = open_device(request.device)
    if request.precision is Precision.BF16 and not torch.cuda.is_bf16_supported(
        including_emulation=False
    ):
        raise DeviceError("this device has no instructions for bf16; give --precision fp16")
    module = load_module(card, trusted=request.trust_pickle)
    with device_errors("loading the model"):
        forward = open_forward(module, card, request.precision, device.torch_device)
    version = torch.__version__.partition("+")[0]

    def build(batch: int) -> RingRuntime[torch.Tensor]:
        torch.cuda.empty_cache()
        shape = ring_shape(card, batch)
        check_fit(forward, shape, device.torch_device)
        kernel, how = _captured(forward, shape, device)
        told = f"torch {version}/{device.torch_device} {how}/{request.precision}"
        ring = Ring(device, recoloured_views(kernel, card), shape)
        return RingRuntime(card, told, ring, partial(tiles_for, device))

    return open_fitting(build, request.batch_size or usual_batch(card))


@dataclass(frozen=True, slots=True)
class EagerKernel:
    """A kernel of the ring: one launch for each operation of the network."""

    forward: Forward

    def __call__(self, pixels: torch.Tensor, outputs: torch.Tensor) -> None:
        outputs.copy_(self.forward(pixels).reshape(outputs.shape))


@dataclass(frozen=True, slots=True)
class GraphKernel:
    """A kernel of the ring: one launch for the whole network, captured over its own memory."""

    graph: torch.cuda.CUDAGraph
    pixels: torch.Tensor
    outputs: torch.Tensor

    def __call__(self, pixels: torch.Tensor, outputs: torch.Tensor) -> None:
        self.pixels.copy_(pixels)
        self.graph.replay()
        outputs.copy_(self.outputs.reshape(outputs.shape))


def check_fit(forward: Forward, shape: RingShape, device: torch.device) -> None:
    """Raises ModelError where the network does not take what its card says, or gives other than
    it says; DeviceError for what is the device's fault."""
    white = torch.full(shape.tiles, 255, dtype=torch.uint8, device=device)
    name = forward.card.weights.name
    try:
        given = tuple(forward(white).shape)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        with device_errors("inference"):
            raise
    except TORCH_ERRORS as error:
        told = f"input: {name} does not take what its card says: {first_line(error)}"
        raise ModelError(told) from None
    if given[:1] != shape.outputs[:1] or not fits(given, forward.card):
        raise ModelError(
            f"{FIELDS[forward.card.task]}: {name} gives {given} for {shape.tiles[0]} tiles;"
            f" its card asks for {shape.outputs}"
        )


def _captured(
    forward: Forward, shape: RingShape, device: CudaDevice
) -> tuple[Callable[[torch.Tensor, torch.Tensor], None], str]:
    """A graph; the operations one by one where the network does what no graph can hold."""
    stream, graph = device.stream("compute").raw, torch.cuda.CUDAGraph()
    pixels = torch.zeros(shape.tiles, dtype=torch.uint8, device=device.torch_device)
    stream.wait_stream(torch.cuda.current_stream(device.torch_device))
    with device_errors("warming up"), torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            forward(pixels)
    stream.synchronize()
    try:
        with torch.cuda.graph(graph, stream=stream):
            outputs = forward(pixels)
    except torch.OutOfMemoryError:
        with device_errors("capturing"):
            raise
    except RuntimeError as error:
        log.warning("no CUDA graph of this network: %s", first_line(error))
        return EagerKernel(forward), "eager"
    return GraphKernel(graph, pixels, outputs), "graph"
