"""What goes wrong with a model or a device: one error each, by its name.  On host tensors."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # noqa: E402

from tests.inference.gpu.test_runtimes import onnx_on  # noqa: E402
from tests.inference.torch_models import Nets, Red, write_torch_model  # noqa: E402
from tests.models_for_tests import constant_network, red_network, write_model  # noqa: E402
from wsi_ai.core.cards import Precision  # noqa: E402
from wsi_ai.errors import DeviceError, ModelError, NoDevice, OutOfDeviceMemory, WsiAiError  # noqa: E402
from wsi_ai.inference.gpu.onnx import translated  # noqa: E402
from wsi_ai.inference.gpu.providers import CUDA, Way  # noqa: E402
from wsi_ai.inference.gpu.ring import Ring  # noqa: E402
from wsi_ai.inference.gpu.runtime import RingRuntime, ring_shape, try_once  # noqa: E402
from wsi_ai.inference.gpu.torch import check_fit, check_torch  # noqa: E402
from wsi_ai.inference.torch.forward import open_forward  # noqa: E402
from wsi_ai.inference.torch.weights import load_module  # noqa: E402
from wsi_ai.models.manifest import load_card  # noqa: E402
from wsi_ai.testing.runtime_contract import Arena  # noqa: E402
from wsi_ai.testing.simulated_device import SimulatedDevice  # noqa: E402
from wsi_ai.testing.stand_ins import MEAN_CARD  # noqa: E402

HOST = torch.device("cpu")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ort_errors.RuntimeException("BFCArena: Failed to allocate memory"), OutOfDeviceMemory),
        (ort_errors.Fail("CUDA failure 2: out of memory ; GPU=0"), OutOfDeviceMemory),
        (ort_errors.InvalidArgument("Got invalid dimensions for input: tiles"), ModelError),
        (ort_errors.Fail("CUDA failure 700: illegal memory access"), DeviceError),
    ],
)
def test_what_onnx_runtime_raises_is_told_by_its_kind(
    raised: Exception, expected: type[WsiAiError]
) -> None:
    assert type(translated(MEAN_CARD, raised)) is expected


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"classes": '["red", "blue"]'}, r"its card asks for \(8, 2\)"),
        ({"dtype": "uint8"}, "does not take what its card says"),
        ({"layout": "nhwc"}, "does not take what its card says|its card asks for"),
    ],
)
def test_a_torch_network_that_does_not_fit_its_card_is_refused(
    tmp_path: Path, fields: dict[str, str], told: str
) -> None:
    content = Nets(Red(), torch.zeros(2, 3, 64, 64)).pt2()
    card = load_card(write_torch_model(tmp_path / "m", content, "pt2", **fields))
    forward = open_forward(load_module(card), card, Precision.FP32, HOST)
    with pytest.raises(ModelError, match=told):
        check_fit(forward, ring_shape(card, 8), HOST)


@pytest.mark.parametrize(
    "fields", [{"classes": '["red", "x"]'}, {"dtype": "float32"}, {"layout": "nchw"}, {"side": 65}]
)
def test_an_onnx_network_that_does_not_fit_its_card_is_refused(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    card = load_card(write_model(tmp_path / "m", red_network(), **fields))
    with pytest.raises(WsiAiError):
        try_once(onnx_on(SimulatedDevice(0), card), Precision.FP32)


def test_scores_out_of_range_are_refused_when_the_model_is_opened(tmp_path: Path) -> None:
    card = load_card(write_model(tmp_path / "m", constant_network([3.0])))
    with pytest.raises(ModelError, match=r"outside 0\.\.1"):
        try_once(onnx_on(SimulatedDevice(0), card), Precision.FP32)


def test_a_session_that_fell_back_to_the_processor_is_an_error(tmp_path: Path) -> None:
    if CUDA in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    card = load_card(write_model(tmp_path / "m", red_network()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnxruntime, that it has no such provider
        with pytest.raises(DeviceError, match="fell back to CPUExecutionProvider"):
            Way("CUDA", ((CUDA, {}),)).open(card, ring_shape(card, 8))


def test_a_torch_without_cuda_is_told_what_to_install() -> None:
    with pytest.raises(NoDevice, match=r"pip install 'wsi-ai\[cuda,torch\]'"):
        check_torch(None)


def test_infinite_scores_are_no_scores(tmp_path: Path) -> None:
    card = load_card(write_model(tmp_path / "m", constant_network([float("inf")])))
    runtime = onnx_on(SimulatedDevice(0), card)
    (got,) = runtime.predict(Arena(np.zeros((3, 64, 64, 3), np.uint8), [3]))
    assert np.isnan(got.scores).all()


class _Chance:
    """A kernel of the ring that says another thing each time, as dropout does."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pixels: Any, outputs: Any, **_: Any) -> None:
        self.calls += 1
        outputs[...] = 0.1 * (self.calls % 7)


def test_a_network_that_says_another_thing_each_time_is_refused_on_a_device_too(
    tmp_path: Path,
) -> None:
    card = load_card(write_model(tmp_path / "m", constant_network([0.5])))
    ring = Ring(SimulatedDevice(0), _Chance(), ring_shape(card, 4))
    with pytest.raises(ModelError, match="exported in training mode"):
        try_once(RingRuntime(card, "chance/sim", ring), Precision.FP32)
