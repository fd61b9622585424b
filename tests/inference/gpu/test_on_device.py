"""The same on a real CUDA device.  Skipped where there is none; failing there instead where
WSI_AI_REQUIRE_GPU=1 says that there must be one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import DEMO_MODEL
from tests.models_for_tests import red_network, write_model
from wsi_ai.core.cards import Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.errors import DeviceError
from wsi_ai.inference.gpu.driver import open_driver
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.testing.runtime_contract import Arena, RuntimeContract

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="session", autouse=True)
def cuda() -> None:
    try:
        open_driver()
        pytest.importorskip("cupy", reason="CuPy is not installed")
    except (DeviceError, pytest.skip.Exception) as error:
        if os.environ.get("WSI_AI_REQUIRE_GPU") == "1":
            pytest.fail(f"WSI_AI_REQUIRE_GPU=1, but {error}")
        pytest.skip(f"no CUDA device: {error}")


def torch_model(folder: Path) -> Path:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from tests.inference.torch_models import Nets, Red, write_torch_model

    return write_torch_model(folder, Nets(Red(), torch.zeros(2, 3, 64, 64)).pt2(), "pt2")


class TestOnnxOnCuda(RuntimeContract):
    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        card = load_card(write_model(tmp_path / "m", red_network()))
        return open_runtime(card, RuntimeRequest("cuda:0"))


class TestTorchOnCuda(RuntimeContract):
    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        return open_runtime(load_card(torch_model(tmp_path / "m")), RuntimeRequest("cuda:0"))


def scores(runtime: Runtime, pixels: np.ndarray) -> np.ndarray:
    sizes = [runtime.batch_size] * (len(pixels) // runtime.batch_size)
    if rest := len(pixels) - sum(sizes):
        sizes.append(rest)
    return np.concatenate([p.scores for p in runtime.predict(Arena(pixels, sizes))])


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (700, 64, 64, 3), dtype=np.uint8)


def test_onnx_gives_on_the_device_what_it_gives_on_the_host(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    card = load_card(write_model(tmp_path / "m", red_network()))
    host, there = (open_runtime(card, RuntimeRequest(d)) for d in ("cpu", "cuda:0"))
    np.testing.assert_allclose(scores(there, pixels), scores(host, pixels), atol=1e-5)


@pytest.mark.parametrize(("precision", "atol"), [("fp32", 1e-5), ("fp16", 0.01), ("bf16", 0.05)])
def test_torch_gives_on_the_device_what_it_gives_on_the_host(
    tmp_path: Path, pixels: np.ndarray, precision: str, atol: float
) -> None:
    card = load_card(torch_model(tmp_path / "m"))
    host = open_runtime(card, RuntimeRequest("cpu"))
    there = open_runtime(card, RuntimeRequest("cuda:0", Precision(precision)))
    np.testing.assert_allclose(scores(there, pixels), scores(host, pixels), atol=atol)


def test_auto_is_the_device_where_there_is_one(tmp_path: Path) -> None:
    card = load_card(torch_model(tmp_path / "m"))
    assert "/cuda:0 " in open_runtime(card, RuntimeRequest()).description


def test_tiles_decoded_on_the_device_score_as_the_hosts(
    tmp_path: Path, sample: Callable[..., Path]
) -> None:
    from wsi_ai.inference.gpu.source import CudaTiles
    from wsi_ai.slides.registry import open_slide
    from wsi_ai.tiles.planning import plan_tiles
    from wsi_ai.tiles.reading import HostTiles

    pytest.importorskip("nvidia.nvimgcodec", reason="nvImageCodec is not installed")
    runtime = open_runtime(load_card(torch_model(tmp_path / "m")), RuntimeRequest("cuda:0"))
    source = runtime.source(2)  # type: ignore[attr-defined]
    assert isinstance(source, CudaTiles), "nvImageCodec was not taken; the log says why"
    with open_slide(sample(size_px=1024, seed=1, tumour=True)) as slide:
        plan = plan_tiles(slide.info, np.ones((4, 4), np.bool_), runtime.card.tile)
        host = HostTiles(runtime.batch_size, 2)
        there, here = (
            np.concatenate([p.scores for p in runtime.predict(tiles(slide, plan, 0))])
            for tiles in (source, host)
        )
    np.testing.assert_allclose(there, here, atol=0.004)


def test_the_demo_models_flags_are_the_same_on_the_device() -> None:
    from wsi_ai.models.parity import verify

    if not (DEMO_MODEL / "golden.json").exists():
        pytest.skip("the demo model has no golden tiles yet")
    rows = verify(DEMO_MODEL, [RuntimeRequest("cuda:0")])
    assert all(row.accepted for row in rows)


def test_the_cutting_kernel_gives_the_hosts_bytes_there() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    from tests.inference.gpu.cut_scenarios import differing
    from wsi_ai.inference.gpu.cuda import open_device
    from wsi_ai.inference.gpu.cutting import source

    device = open_device("cuda:0")

    def make(options: Any, seed: int) -> Any:
        run = device.module(source(), "cut", options)

        def launch(grid: Any, block: Any, args: Any) -> None:
            there = [cupy.asarray(np.ascontiguousarray(array)) for array in args[:7]]
            run(grid, block, (*there, *args[7:]))
            args[6][...] = there[6].get()

        return launch

    assert differing(make, 300, seed=11) == []
