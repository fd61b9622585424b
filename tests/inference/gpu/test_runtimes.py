"""The kernels of the CUDA runtimes, on host tensors, driven through the ring on the simulated
device: the whole contract, without a race."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.inference.gpu.cut_walks import device as simulated
from tests.inference.gpu.host_kernel import needs_compiler
from tests.models_for_tests import red_network, write_model
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.errors import DeviceError, OutOfDeviceMemory
from wsi_ai.inference.gpu.cutting import Form, form_for
from wsi_ai.inference.gpu.ring import Ring
from wsi_ai.inference.gpu.runtime import RingRuntime, open_fitting, ring_shape
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.testing.happens_before import SimBuffer
from wsi_ai.testing.runtime_contract import Arena, RuntimeContract
from wsi_ai.testing.schedulers import ThreadScheduler
from wsi_ai.testing.simulated_device import SimulatedDevice
from wsi_ai.testing.stand_ins import MEAN_CARD


def mean_kernel(pixels: Any, outputs: Any) -> None:
    outputs[:, 0] = pixels[..., 0].mean(axis=(1, 2)) / 255


class OnSimulatedDevice(RuntimeContract):
    """After each test: no race, no leak."""

    @pytest.fixture
    def device(self) -> Iterator[SimulatedDevice]:
        device = SimulatedDevice(7)
        yield device
        assert device.problems() == device.faults == []


class TestRing(OnSimulatedDevice):
    @pytest.fixture
    def runtime(self, device: SimulatedDevice) -> Runtime:
        return RingRuntime(
            MEAN_CARD, "ring/sim", Ring(device, mean_kernel, ring_shape(MEAN_CARD, 8))
        )


class TestRingWithThreads(OnSimulatedDevice):
    @pytest.fixture
    def device(self) -> Iterator[SimulatedDevice]:
        device = SimulatedDevice(7, ThreadScheduler(7))
        yield device
        assert device.problems() == device.faults == []

    @pytest.fixture
    def runtime(self, device: SimulatedDevice) -> Runtime:
        return RingRuntime(
            MEAN_CARD, "ring/sim", Ring(device, mean_kernel, ring_shape(MEAN_CARD, 8))
        )


def on_arrays(kernel: Callable[..., None]) -> Callable[..., None]:
    """A kernel of torch tensors on the arrays that the simulated device holds."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def launched(pixels: Any, outputs: Any) -> None:
        kernel(torch.from_numpy(pixels), torch.from_numpy(outputs))

    return launched


class TestTorchKernel(OnSimulatedDevice):
    @pytest.fixture
    def runtime(self, device: SimulatedDevice, tmp_path: Path) -> Runtime:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        from tests.inference.torch_models import Nets, Red, write_torch_model
        from wsi_ai.inference.gpu.torch import EagerKernel, Network, check_fit
        from wsi_ai.inference.torch.forward import open_forward
        from wsi_ai.inference.torch.weights import load_module

        content = Nets(Red(), torch.zeros(2, 3, 64, 64)).pt2()
        card = load_card(write_torch_model(tmp_path / "m", content, "pt2"))
        host = torch.device("cpu")
        forward = open_forward(load_module(card), card, Precision.FP32, host)
        shape = ring_shape(card, 8)
        check_fit(forward, shape, host)
        kernel = on_arrays(EagerKernel(Network(forward, shape.form)))
        return RingRuntime(card, "torch/sim", Ring(device, kernel, shape))


class TestOnnxKernel(OnSimulatedDevice):
    @pytest.fixture(params=[("nhwc", "uint8"), ("nchw", "float32")], ids="-".join)
    def runtime(
        self, request: pytest.FixtureRequest, device: SimulatedDevice, tmp_path: Path
    ) -> Runtime:
        layout, dtype = request.param
        network = red_network(layout=layout, dtype=dtype)
        folder = write_model(tmp_path / "m", network, layout=layout, dtype=dtype)
        return onnx_on(device, load_card(folder))


class TestOnnxKernelOfItsOwnInput(OnSimulatedDevice):
    """Tiles in host memory are laid out on the device by the cutting kernel; nothing else prepares
    them."""

    @pytest.fixture
    def device(self) -> Iterator[SimulatedDevice]:
        needs_compiler()
        device = simulated(7)
        yield device
        assert device.problems() == device.faults == []

    @pytest.fixture(params=[("nchw", "float32"), ("nhwc", "float32"), ("nchw", "uint8")])
    def runtime(
        self, request: pytest.FixtureRequest, device: SimulatedDevice, tmp_path: Path
    ) -> Runtime:
        layout, dtype = request.param
        network = red_network(layout=layout, dtype=dtype)
        card = load_card(write_model(tmp_path / "m", network, layout=layout, dtype=dtype))
        return onnx_on(device, card, form=form_for(card))


def onnx_on(
    device: SimulatedDevice, card: ModelCard, batch: int = 8, form: Form | None = None
) -> RingRuntime[Any]:
    """PyTorch is not asked for."""
    from wsi_ai.inference.gpu.onnx import bind
    from wsi_ai.inference.onnx.runtime import open_session, session_options

    shape = ring_shape(card, batch, form)
    session = open_session(card, session_options(), ["CPUExecutionProvider"])
    kernel = bind(card, session, shape, ("cpu", 0), np)
    return RingRuntime(card, "onnx/sim", Ring(device, kernel, shape))


@pytest.mark.parametrize("name", ["demo-stains", "demo-nuclei"])
def test_pixels_and_objects_pass_through_the_ring_as_on_the_host(name: str) -> None:
    card = load_card(ROOT / "models" / name)
    device, side = SimulatedDevice(3), card.tile.size_px
    pixels = np.random.default_rng(3).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    got = list(onnx_on(device, card, batch=2).predict(Arena(pixels, [2, 2, 1])))
    host = open_runtime(card, RuntimeRequest("cpu", batch_size=2))
    for one, other in zip(got, host.predict(Arena(pixels, [2, 2, 1])), strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)
    assert device.problems() == device.faults == []


@pytest.mark.parametrize(("layout", "dtype"), [("nhwc", "uint8"), ("nchw", "float32")])
def test_the_onnx_kernel_sees_red_where_the_tile_is_red(
    tmp_path: Path, layout: str, dtype: str
) -> None:
    network = red_network(layout=layout, dtype=dtype)
    folder = write_model(tmp_path / "m", network, layout=layout, dtype=dtype)
    runtime = onnx_on(SimulatedDevice(1), load_card(folder))
    pixels = np.random.default_rng(3).integers(0, 256, (13, 64, 64, 3), dtype=np.uint8)
    got = np.concatenate([p.scores for p in runtime.predict(Arena(pixels, [8, 5]))])
    expected = pixels[..., 0].mean(axis=(1, 2), dtype=np.float64) / 255
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-5)


def test_an_onnx_output_that_is_not_the_cards_classes_is_refused(tmp_path: Path) -> None:
    card = load_card(write_model(tmp_path / "m", red_network(), classes='["red", "blue"]'))
    runtime = onnx_on(SimulatedDevice(1), card)
    with pytest.raises(DeviceError, match=r"ModelError: .* does not take what its card says"):
        list(runtime.predict(Arena(np.zeros((8, 64, 64, 3), np.uint8), [8])))


class Small(SimulatedDevice):
    """Holds so many bytes of tiles."""

    def __init__(self, bytes_left: int) -> None:
        super().__init__(0)
        self._most = bytes_left

    def alloc(self, shape: Sequence[int], dtype: Any) -> SimBuffer:
        if int(np.prod(shape)) * np.dtype(dtype).itemsize > self._most:
            raise OutOfDeviceMemory("allocating: out of memory on the device")
        return super().alloc(shape, dtype)


def fitting(bytes_left: int) -> tuple[Small, RingRuntime[Any]]:
    device = Small(bytes_left)

    def build(batch: int) -> RingRuntime[Any]:
        return RingRuntime(
            MEAN_CARD, "ring/sim", Ring(device, mean_kernel, ring_shape(MEAN_CARD, batch))
        )

    return device, open_fitting(build, 32, Precision.FP32)


def test_the_batch_is_halved_until_it_fits_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device, runtime = fitting(64 * 64 * 3 * 9)
    assert runtime.batch_size == 8
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "32 tiles at once: trying 16" in caplog.text
    assert device.problems() == []


def test_a_device_too_small_for_one_tile_is_an_error() -> None:
    with pytest.raises(OutOfDeviceMemory):
        fitting(1000)


def test_a_tile_whose_output_is_no_number_scores_nan_and_no_other_does() -> None:
    def kernel(pixels: Any, outputs: Any) -> None:
        mean_kernel(pixels, outputs)
        outputs[pixels[:, 0, 0, 0] == 0] = np.inf

    runtime = RingRuntime(
        MEAN_CARD, "x/y", Ring(SimulatedDevice(0), kernel, ring_shape(MEAN_CARD, 4))
    )
    pixels = np.full((4, 64, 64, 3), 200, np.uint8)
    pixels[2] = 0
    (got,) = runtime.predict(Arena(pixels, [4]))
    assert np.isnan(got.scores[:, 0]).tolist() == [False, False, True, False]
