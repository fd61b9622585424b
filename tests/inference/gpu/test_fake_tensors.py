"""Every operation of the CUDA runtime for PyTorch, on tensors that have a device and a type but no
memory: none leaves the device, none changes the type unasked.  Runs without a device."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from wsi_ai.core.cards import InputSpec, Layout, ModelCard, Precision  # noqa: E402
from wsi_ai.inference.gpu.cutting import Form, form_for  # noqa: E402
from wsi_ai.inference.gpu.torch import EagerKernel, Network, channels_last  # noqa: E402
from wsi_ai.inference.torch.forward import Forward, Prepare  # noqa: E402
from wsi_ai.testing.stand_ins import MEAN_CARD  # noqa: E402

CUDA, HOST = "cuda:0", "cpu"
INPUTS = [
    InputSpec(layout, dtype, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), network_px)
    for layout in Layout
    for dtype in ("uint8", "float32")
    for network_px in (None, 40)
]
PLAIN = InputSpec(Layout.NCHW, "float32", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


class Watch(TorchDispatchMode):
    """Remembers the devices and types of all results."""

    def __init__(self) -> None:
        super().__init__()
        self.devices, self.types = set[str](), set[Any]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.devices.add(str(tensor.device))
                self.types.add(tensor.dtype)
        return result


class Net(torch.nn.Module):
    """A convolution, a normalisation, a matrix product, a softmax."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.planes_last = card.input.layout is Layout.NHWC
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, 2),
            torch.nn.BatchNorm2d(4),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(4, 1),
            torch.nn.Softmax(1),
        )

    def forward(self, tiles: Any) -> Any:
        return self.body((tiles.permute(0, 3, 1, 2) if self.planes_last else tiles).float())


def run(
    spec: InputSpec, precision: Precision = Precision.FP32, device: str = CUDA
) -> tuple[Watch, Any, Any]:
    """One launch of the kernel; the watch, what the network was given, and the outputs."""
    card = replace(MEAN_CARD, input=spec)
    with FakeTensorMode(), torch.device(device):
        prepare = Prepare(card, torch.empty(3), torch.empty(3))
        forward = Forward(card, Net(card).eval(), precision, prepare)
        kernel = EagerKernel(Network(forward, Form()))
        pixels = torch.empty(8, 64, 64, 3, dtype=torch.uint8)
        outputs = torch.empty(8, 1)
        with Watch() as watch:
            kernel(pixels, outputs)
            assert forward(pixels).dtype == torch.float32
            given = prepare(pixels)
    return watch, given, outputs


@pytest.mark.parametrize("spec", INPUTS)
def test_no_operation_leaves_the_device(spec: InputSpec) -> None:
    watch, _, outputs = run(spec)
    assert watch.devices == {CUDA}
    assert outputs.dtype == torch.float32


@pytest.mark.parametrize("spec", INPUTS)
def test_the_network_is_given_the_type_and_shape_of_its_card(spec: InputSpec) -> None:
    _, given, _ = run(spec)
    side = spec.network_px or 64
    wanted = (8, side, side, 3) if spec.layout is Layout.NHWC else (8, 3, side, side)
    assert given.dtype == getattr(torch, spec.dtype)
    assert tuple(given.shape) == wanted


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.BF16])
def test_the_network_computes_in_the_precision_asked_for(precision: Precision) -> None:
    """On the host: where there is no device, torch switches its autocast off."""
    kind = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    watch, _, _ = run(PLAIN, precision, HOST)
    halves = watch.types & {torch.float16, torch.bfloat16, torch.float64}
    assert halves == ({kind} if kind else set())


@pytest.mark.parametrize("network_px", [None, 40])
def test_planes_first_stays_channels_last_in_memory(network_px: int | None) -> None:
    _, given, _ = run(replace(PLAIN, network_px=network_px))
    assert given.is_contiguous(memory_format=torch.channels_last)


def test_normalising_on_the_device_is_what_it_is_on_the_host() -> None:
    from wsi_ai.inference.scoring import prepare
    from wsi_ai.inference.torch.forward import open_prepare

    spec = InputSpec(Layout.NCHW, "float32", (0.48, 0.45, 0.4), (0.22, 0.23, 0.24))
    card = replace(MEAN_CARD, input=spec)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    there = open_prepare(card, torch.device("cpu"))(torch.from_numpy(pixels))
    np.testing.assert_allclose(there.numpy(), prepare(pixels, card), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", list(Layout))
def test_a_slot_that_holds_the_networks_input_is_shown_to_it_as_it_lies(layout: Layout) -> None:
    """Channels last in memory, whatever the network calls its axes; nothing is prepared again."""
    card = replace(MEAN_CARD, input=replace(PLAIN, layout=layout))
    form = channels_last(form_for(card))
    assert form.dtype == "float32"
    with FakeTensorMode(), torch.device(CUDA):
        prepare = Prepare(card, torch.empty(3), torch.empty(3))
        forward = Forward(card, Net(card).eval(), Precision.FP32, prepare)
        tiles = torch.empty(form.shape((8, 64, 64, 3)), dtype=torch.float32)
        with Watch() as watch:
            outputs = Network(forward, form)(tiles)
    assert watch.devices == {CUDA}
    assert tuple(outputs.shape) == (8, 1)
