"""Each runtime on the host holds to the contract, and gives what the ONNX one gives."""

from pathlib import Path

import numpy as np
import pytest

from tests.models_for_tests import product_network, red_network, write_model
from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.errors import ModelError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.testing import MeanRuntime
from wsi_ai.testing.runtime_contract import Arena, RuntimeContract


def torch_model(folder: Path, kind: str, layout: str, dtype: str) -> Path:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from tests.inference.torch_models import Nets, Red, write_torch_model

    shape = (2, 64, 64, 3) if layout == "nhwc" else (2, 3, 64, 64)
    network = Nets(Red(layout, dtype), torch.zeros(shape, dtype=getattr(torch, dtype)))
    content = network.pt2() if kind == "pt2" else network.torchscript()
    return write_torch_model(folder, content, kind, layout=layout, dtype=dtype)


class TestMeanRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return MeanRuntime()


class TestOnnx(RuntimeContract):
    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        card = load_card(write_model(tmp_path / "m", red_network()))
        return open_runtime(card, RuntimeRequest("cpu"))


class TestOpenVino(RuntimeContract):
    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        pytest.importorskip("openvino", reason="openvino is not installed")
        card = load_card(write_model(tmp_path / "m", red_network()))
        return open_runtime(card, RuntimeRequest("openvino"))


class TestTorch(RuntimeContract):
    @pytest.fixture(params=["pt2", "torchscript"])
    def runtime(self, request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
        folder = torch_model(tmp_path / "m", request.param, "nchw", "float32")
        return open_runtime(load_card(folder), RuntimeRequest("cpu"))


def reds(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_an_onnx_network_sees_red_where_the_tile_is_red(
    tmp_path: Path, layout: str, dtype: str, device: str
) -> None:
    if device == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    network = red_network(layout=layout, dtype=dtype)
    _sees_red(write_model(tmp_path / "m", network, layout=layout, dtype=dtype), device)


@pytest.mark.parametrize(("layout", "dtype"), [("nhwc", "uint8"), ("nchw", "float32")])
def test_a_torch_network_sees_red_where_the_tile_is_red(
    tmp_path: Path, layout: str, dtype: str
) -> None:
    _sees_red(torch_model(tmp_path / "m", "pt2", layout, dtype), "cpu")


def _sees_red(folder: Path, device: str) -> None:
    pixels = reds(40)
    runtime = open_runtime(load_card(folder), RuntimeRequest(device))
    got = np.concatenate([p.scores for p in runtime.predict(Arena(pixels, [32, 8]))])
    expected = pixels[..., 0].mean(axis=(1, 2), dtype=np.float64) / 255
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_as_many_tiles_at_once_as_were_asked_for(tmp_path: Path, device: str) -> None:
    if device == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    card = load_card(write_model(tmp_path / "m", red_network()))
    runtime = open_runtime(card, RuntimeRequest(device, batch_size=6))
    assert runtime.batch_size == 6
    (got,) = runtime.predict(Arena(reds(6), [6]))
    assert got.scores.shape == (6, 1)


@pytest.mark.parametrize(
    "fields", [{"dtype": "float32"}, {"layout": "nchw"}, {"side": 65}, {"classes": '["red", "x"]'}]
)
def test_openvino_refuses_a_card_that_does_not_fit_its_network(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    card = load_card(write_model(tmp_path / "m", red_network(), **fields))
    with pytest.raises(ModelError):
        open_runtime(card, RuntimeRequest("openvino"))


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="auto is CUDA here")
def test_auto_takes_openvino_for_networks_of_matrix_products_only(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    cards = [
        load_card(write_model(tmp_path / name, network))
        for name, network in (("products", product_network()), ("none", red_network()))
    ]
    told = [open_runtime(card, RuntimeRequest()).description for card in cards]
    assert [t.partition(" ")[0] for t in told] == ["openvino", "onnxruntime"]
    pixels = reds(5)
    (got,) = open_runtime(cards[0], RuntimeRequest()).predict(Arena(pixels, [5]))
    np.testing.assert_allclose(got.scores[:, 0], pixels[..., 0].mean(axis=(1, 2)) / 255, atol=1e-5)
