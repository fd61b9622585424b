"""Models of PyTorch on a CUDA device: its streams are CuPy's, its tensors CuPy's arrays.  Has not
met a device yet: see ``benchmarks/gpu.sh``."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

from wsi_ai.core.cards import Layout, ModelCard, Precision, RuntimeRequest
from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import DeviceError, ModelError, NoDevice, first_line
from wsi_ai.inference.gpu.cutting import Form, form_for
from wsi_ai.inference.gpu.driver import check_driver, open_driver
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
_WITH_BF16 = (8, 0)
"""Compute capability from which a device has instructions for it."""
Call = Callable[[torch.Tensor, torch.Tensor], None]


def open_runtime(card: ModelCard, request: RuntimeRequest) -> RingRuntime[Any]:
    """The network on the device, captured as a CUDA graph where it can be, tried once.

    Raises ModelError where the weights do not load or do not fit their card, DeviceError where
    the device is not there, too small, or has no instructions for the precision.
    """
    check_torch(torch.version.cuda)
    with needs_extra("cuda,torch", NoDevice):
        from wsi_ai.inference.gpu import cuda
    device = cuda.open_device(request.device)
    check_precision(request.precision, device.capability)
    torch.backends.cudnn.allow_tf32 = False  # what is called fp32 here is fp32
    there = torch.device("cuda", device.index)
    with cuda.device_errors("loading the model"):
        module = load_module(card, trusted=request.trust_pickle, device=there)
        forward = open_forward(module, card, request.precision, there)
    version = torch.__version__.partition("+")[0]

    def build(batch: int) -> RingRuntime[Any]:
        device.empty_cache()
        torch.cuda.empty_cache()
        shape = ring_shape(card, batch, channels_last(form_for(card)))
        stream = torch.cuda.ExternalStream(device.stream("compute").raw.ptr, device=there)
        with cuda.device_errors("inference"), torch.cuda.stream(stream):
            check_fit(forward, shape, there)
            kernel, how = captured(torch.cuda, forward, shape, stream)
        described = f"torch {version}/{there} {how}/{request.precision}"
        ring = Ring(device, on_tensors(recoloured_views(kernel, card, torch), stream), shape)
        return RingRuntime(card, described, ring, partial(tiles_for, device, shape.form))

    return open_fitting(build, request.batch_size or usual_batch(card), request.precision)


def check_torch(built_for: str | None) -> None:
    """Raises NoDevice where this torch has no CUDA, DeviceError where the driver is too old."""
    if built_for is None:
        raise NoDevice(
            "this torch has no CUDA; install another with: pip install 'wsi-ai[cuda,torch]'"
        )
    check_driver(open_driver(), built_for, 0)


def check_precision(precision: Precision, capability: tuple[int, int]) -> None:
    """Raises DeviceError where the device would only emulate it."""
    if precision is Precision.BF16 and capability < _WITH_BF16:
        raise DeviceError("this device has no instructions for bf16; give --precision fp16")


def channels_last(form: Form) -> Form:
    """In memory; a network that wants planes first is shown a view of it."""
    return replace(form, planes_first=False)


def on_tensors(kernel: Callable[..., None], stream: Any) -> Callable[..., None]:
    """A kernel of the ring, which is launched in that stream: its arrays are shared, not copied."""

    def launched(pixels: Any, outputs: Any, **kwargs: Any) -> None:
        with torch.cuda.stream(stream):
            kernel(from_dlpack(pixels), from_dlpack(outputs), **kwargs)

    return launched


@dataclass(frozen=True, slots=True)
class Network:
    """Takes what a slot of the ring holds: RGB, or what the network wants, channels last."""

    forward: Forward
    form: Form

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        if self.form.is_rgb:
            return self.forward(tiles)
        planes = self.forward.card.input.layout is Layout.NCHW
        return self.forward.infer(tiles.permute(0, 3, 1, 2) if planes else tiles)


@dataclass(frozen=True, slots=True)
class EagerKernel:
    """A kernel of the ring: one launch for each operation of the network."""

    network: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, pixels: torch.Tensor, outputs: torch.Tensor) -> None:
        outputs.copy_(self.network(pixels).reshape(outputs.shape))


@dataclass(frozen=True, slots=True)
class GraphKernel:
    """A kernel of the ring: one launch for the whole network, captured over its own memory."""

    graph: Any
    pixels: torch.Tensor
    outputs: torch.Tensor

    def __call__(self, pixels: torch.Tensor, outputs: torch.Tensor) -> None:
        self.pixels.copy_(pixels)
        self.graph.replay()
        outputs.copy_(self.outputs.reshape(outputs.shape))


def check_fit(forward: Forward, shape: RingShape, device: torch.device) -> None:
    """Raises ModelError where the network does not take what its card says, or gives other than
    it says; what is the device's fault passes."""
    white = torch.full(shape.tiles, 255, dtype=torch.uint8, device=device)
    name = forward.card.weights.name
    try:
        given = tuple(forward(white).shape)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except TORCH_ERRORS as error:
        message = f"input: {name} does not take what its card says: {first_line(error)}"
        raise ModelError(message) from None
    if given[:1] != shape.outputs[:1] or not fits(given, forward.card):
        raise ModelError(
            f"{FIELDS[forward.card.task]}: {name} gives {given} for {shape.tiles[0]} tiles;"
            f" its card asks for {shape.outputs}"
        )


def captured(cuda: Any, forward: Forward, shape: RingShape, stream: Any) -> tuple[Call, str]:
    """A graph; the operations one by one where the network does what no graph can hold.

    Only this thread's own calls are held to what a capture allows: others read tiles meanwhile.
    The stream is current already, and so it is again after a capture that failed.
    """
    network, graph = Network(forward, shape.form), cuda.CUDAGraph()
    kind = getattr(torch, shape.form.stored_dtype)
    with cuda.stream(stream):
        pixels = torch.zeros(shape.tiles, dtype=kind, device=forward.prepare.scale.device)
        for _ in range(_WARM_UPS):
            network(pixels)
        stream.synchronize()
        try:
            with cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                outputs = network(pixels)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("no CUDA graph of this network: %s", first_line(error))
            return EagerKernel(network), "eager"
    return GraphKernel(graph, pixels, outputs), "graph"
