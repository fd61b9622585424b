"""Test-time views and stain normalisation, the same on every runtime."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.models_for_tests import corner_network, red_network, write_model
from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.values import Recolour, TileBatch
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.testing.simulated_device import SimulatedDevice
from wsi_ai.tiles.stain import Macenko, Reinhard

Open = Callable[[ModelCard], Runtime]
VIEWS = {"none": [(0, 0)], "flips": [(0, 0), (0, 1), (2, 0), (2, 1)]}
VIEWS["d4"] = [(quarters, mirrored) for quarters in range(4) for mirrored in (0, 1)]
RECOLOURS = [
    Macenko(((0.9, 0.2, 0.0), (0.1, 0.8, 0.1), (0.0, 0.1, 1.1))),
    Reinhard((0.8, 1.1, 0.9), (12.0, -4.0, 6.0)),
]


def on_host(card: ModelCard) -> Runtime:
    return open_runtime(card, RuntimeRequest("cpu", batch_size=4))


def on_openvino(card: ModelCard) -> Runtime:
    pytest.importorskip("openvino", reason="openvino is not installed")
    return open_runtime(card, RuntimeRequest("openvino", batch_size=4))


@pytest.fixture(params=[on_host, on_openvino, "simulated device"])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a runtime; the CUDA one's kernel runs on the host, late and in an adversarial order."""
    if callable(request.param):
        yield request.param
        return
    device = SimulatedDevice(11)
    yield lambda card: on_ring(device, card)
    assert device.problems() == device.faults == []


def on_ring(device: SimulatedDevice, card: ModelCard) -> Runtime:
    from wsi_ai.inference.gpu.kernel import Placed, recoloured_views
    from wsi_ai.inference.gpu.onnx import bind
    from wsi_ai.inference.gpu.ring import Ring
    from wsi_ai.inference.gpu.runtime import RingRuntime, ring_shape
    from wsi_ai.inference.onnx.runtime import open_session, session_options

    session = open_session(card, session_options(), ["CPUExecutionProvider"])
    shape, library = ring_shape(card, 4), Placed(np)
    inner = bind(card, session, shape, ("cpu", 0), np)
    kernel = recoloured_views(inner, card, library)
    return RingRuntime(card, "onnx/sim", Ring(device, kernel, shape))


def tiles(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    shades = rng.integers(0, 200, (count, 2, 4, 3)).repeat(32, axis=1).repeat(16, axis=2)
    return (shades + rng.integers(0, 50, shades.shape)).astype(np.uint8)


def scores(runtime: Runtime, pixels: np.ndarray, recolour: Recolour | None = None) -> np.ndarray:
    batches = [
        TileBatch("s", np.arange(start, min(start + 4, len(pixels))), part, recolour)
        for start in range(0, len(pixels), 4)
        for part in [pixels[start : start + 4]]
    ]
    return np.concatenate([p.scores for p in runtime.predict(batches)])


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
def test_a_network_that_sees_one_corner_scores_the_mean_over_all_views(
    opened: Open, tta: str, tmp_path: Path
) -> None:
    folder = write_model(
        tmp_path / "m", corner_network(), activation="sigmoid", input=f'tta = "{tta}"'
    )
    pixels = tiles(6)
    each = []
    for quarters, mirrored in VIEWS[tta]:
        view = np.rot90(pixels, quarters, (1, 2))
        corner = (view[:, :, ::-1] if mirrored else view)[:, :32, :16, 0]
        logit = corner.mean(axis=(1, 2), dtype=np.float64) * 8 / 255 - 4
        each.append(1 / (1 + np.exp(-logit)))
    got = scores(opened(load_card(folder)), pixels)[:, 0]
    np.testing.assert_allclose(got, np.mean(each, axis=0), atol=1e-5)


def test_a_network_that_no_turn_can_fool_scores_the_same_with_views(
    opened: Open, tmp_path: Path
) -> None:
    plain = load_card(write_model(tmp_path / "a", red_network()))
    turned = load_card(write_model(tmp_path / "b", red_network(), input='tta = "d4"'))
    pixels = tiles(5)
    np.testing.assert_allclose(
        scores(opened(turned), pixels), scores(opened(plain), pixels), atol=1e-6
    )


@pytest.mark.parametrize("recolour", RECOLOURS)
def test_the_network_is_shown_the_recoloured_tile(
    opened: Open, recolour: Recolour, tmp_path: Path
) -> None:
    card = load_card(write_model(tmp_path / "m", red_network()))
    pixels = tiles(6)
    shown = recolour(pixels, np)
    expected = shown[..., 0].mean(axis=(1, 2), dtype=np.float64) / 255
    got = scores(opened(card), pixels, recolour)[:, 0]
    np.testing.assert_allclose(got, expected, atol=5e-4)  # torch may round a pixel otherwise
    assert np.abs(got - pixels[..., 0].mean(axis=(1, 2)) / 255).max() > 0.02
