"""A network that takes another size than the tile: each tile is resized, alike everywhere."""

from pathlib import Path

import numpy as np
import pytest

from tests.inference.gpu.test_runtimes import onnx_on
from tests.models_for_tests import red_network, write_model
from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.errors import ModelError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.inference.scoring import resized_all
from wsi_ai.models.manifest import load_card
from wsi_ai.testing.runtime_contract import Arena
from wsi_ai.testing.simulated_device import SimulatedDevice

TILE, NETWORK = 64, 40


def shrinking(before: int, after: int) -> np.ndarray:
    """(after, before): the triangle filter, as wide as the scale, its weights summing to one."""
    scale = max(before / after, 1.0)
    centre = (np.arange(after)[:, None] + 0.5) * before / after
    weights = 1 - np.abs(np.arange(before) + 0.5 - centre) / scale
    kept = np.maximum(weights, 0)
    return kept / kept.sum(axis=1, keepdims=True)


def exactly(pixels: np.ndarray, side: int) -> np.ndarray:
    rows = shrinking(pixels.shape[1], side)
    return np.einsum("ai,bj,nijc->nabc", rows, rows, pixels.astype(np.float64), optimize=True)


def noise(side: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


SIZES = [(64, 40), (350, 224), (64, 65), (40, 64), (64, 1)]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_on_the_host_it_is_the_triangle_filter_to_the_nearest_level(
    before: int, after: int
) -> None:
    pixels = noise(before)
    off = np.abs(resized_all(pixels, after) - exactly(pixels, after))
    assert off.max() <= 1.01  # it rounds twice


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_in_torch_it_is_the_same_filter(before: int, after: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from wsi_ai.inference.torch import forward as torch_forward

    pixels = noise(before)
    got = torch_forward.resized(torch.from_numpy(pixels), after)
    assert got.dtype == torch.uint8
    assert np.abs(got.numpy() - exactly(pixels, after)).max() <= 0.501


def test_tiles_of_the_right_size_are_handed_on_uncopied() -> None:
    pixels = noise(64)
    assert resized_all(pixels, 64) is pixels


def smaller(folder: Path) -> ModelCard:
    """The card of a model whose network takes 40 px where its tiles have 64."""
    text = (folder / "model.toml").read_text("utf-8")
    more = text.replace(f"size_px = {TILE}", f"size_px = {TILE}\nnetwork_px = {NETWORK}")
    (folder / "model.toml").write_text(more, "utf-8")
    return load_card(folder)


def onnx_card(folder: Path, layout: str, dtype: str) -> ModelCard:
    network = red_network(NETWORK, layout, dtype)
    return smaller(write_model(folder, network, layout=layout, dtype=dtype))


def sees(runtime: Runtime) -> None:
    pixels = noise(TILE, 11)
    (got,) = runtime.predict(Arena(pixels, [11]))
    expected = exactly(pixels, NETWORK)[..., 0].mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(got.scores[:, 0], expected, atol=0.002)


@pytest.mark.parametrize(("layout", "dtype"), [("nhwc", "uint8"), ("nchw", "float32")])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_an_onnx_network_is_given_tiles_of_its_size(
    tmp_path: Path, layout: str, dtype: str, device: str
) -> None:
    if device == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    sees(open_runtime(onnx_card(tmp_path / "m", layout, dtype), RuntimeRequest(device)))


@pytest.mark.parametrize(("layout", "dtype"), [("nhwc", "uint8"), ("nchw", "float32")])
def test_a_torch_network_is_given_tiles_of_its_size(
    tmp_path: Path, layout: str, dtype: str
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from tests.inference.torch_models import Nets, Red, write_torch_model

    side = NETWORK
    shape = (2, side, side, 3) if layout == "nhwc" else (2, 3, side, side)
    content = Nets(Red(layout, dtype), torch.zeros(shape, dtype=getattr(torch, dtype))).pt2()
    folder = write_torch_model(tmp_path / "m", content, "pt2", layout=layout, dtype=dtype)
    sees(open_runtime(smaller(folder), RuntimeRequest("cpu")))


@pytest.mark.parametrize(("layout", "dtype"), [("nhwc", "uint8"), ("nchw", "float32")])
def test_on_a_device_tiles_are_uploaded_as_they_are_and_resized_there(
    tmp_path: Path, layout: str, dtype: str
) -> None:
    device = SimulatedDevice(3)
    sees(onnx_on(device, onnx_card(tmp_path / "m", layout, dtype), 16))
    assert device.problems() == device.faults == []


def test_a_network_of_yet_another_size_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", red_network(NETWORK + 1))
    with pytest.raises(ModelError, match="does not take what its card says"):
        open_runtime(smaller(folder), RuntimeRequest("cpu"))
