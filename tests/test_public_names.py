"""What ``import wsi_ai`` gives, and what it costs."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wsi_ai
from tests.conftest import ROOT
from tests.models_for_tests import red_network, write_model
from tests.stand_in_runs import write_slide
from wsi_ai.errors import DeviceError, ModelError

NAMES = {
    "Outcome",
    "Result",
    "RunOptions",
    "__version__",
    "embed_slides",
    "find_slides",
    "open_heatmap",
    "open_result",
    "open_slide",
    "run_slides",
}
OWN: dict[str, Any] = {"size_px": 64, "mpp": 0.5, "classes": ["pink"], "threshold": 0.5}
OPEN = 'name = "open"\n[rule]\ntiles = 1\n[quality]\nfocus_min = 0\npen_max = 1\ncast_max = 1\n'


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert set(wsi_ai.__all__) == NAMES
    assert all(hasattr(wsi_ai, name) for name in NAMES)
    assert wsi_ai.__version__ == version("wsi-ai")
    assert set(dir(wsi_ai)) >= NAMES
    with pytest.raises(AttributeError, match="has no attribute 'run_slide'"):
        _ = wsi_ai.run_slide  # type: ignore[attr-defined]


def test_importing_loads_nothing_that_is_not_used() -> None:
    code = "import sys, wsi_ai; print([m for m in sys.modules if m in ('numpy', 'zarr', 'typer')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def policy(tmp_path: Path) -> str:
    (tmp_path / "p.toml").write_text(OPEN)
    return str(tmp_path / "p.toml")


def test_paths_may_be_text_throughout(tmp_path: Path, policy: str) -> None:
    slide = str(write_slide(tmp_path / "s.tif", 192))
    model = str(write_model(tmp_path / "red", red_network(side=64), side=64, mpp=0.5))
    options = wsi_ai.RunOptions(policy=policy)  # type: ignore[arg-type]
    (outcome,) = wsi_ai.run_slides(slide, model, str(tmp_path / "out"), options)
    assert outcome.folder is not None
    assert wsi_ai.open_result(str(outcome.folder)).level is outcome.level
    assert wsi_ai.open_heatmap(str(outcome.folder)).shape == (1, 3, 3)
    with wsi_ai.open_slide(slide) as opened:
        assert opened.info.size.width == 192


def mean_of_red(tiles: np.ndarray) -> np.ndarray:
    return tiles[:, :1].mean(axis=(2, 3))


class MeanOfRed(torch.nn.Module):
    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return tiles[:, :1].mean(dim=(2, 3))


@pytest.mark.parametrize("network", [mean_of_red, MeanOfRed().eval()])
def test_a_network_in_memory_runs_and_is_inferred_each_time(
    tmp_path: Path, policy: str, network: Callable[[Any], Any]
) -> None:
    slide, out = write_slide(tmp_path / "s.tif", 192), tmp_path / "out"
    options = wsi_ai.RunOptions(policy=Path(policy))
    for _ in range(2):
        (outcome,) = wsi_ai.run_slides(slide, network, out, options, **OWN)
        assert (outcome.level.value, outcome.model) == ("expedite", "own-0")
        assert outcome.fresh
        assert not outcome.judged_again
    assert outcome.folder is not None
    result = wsi_ai.open_result(outcome.folder)
    assert "nothing of it was approved" in result.flag["regulatory"]["intended_use"]
    with wsi_ai.open_slide(slide) as opened:
        corner = opened.read(0, 0, 0, 64, 64)[..., 0].mean() / 255
    assert result.scores[0, 0, 0] == pytest.approx(corner, abs=1e-6)


def raises(tiles: np.ndarray) -> np.ndarray:
    raise RuntimeError("the sizes of a and b differ")


@pytest.mark.parametrize(
    ("network", "changed", "message"),
    [
        (mean_of_red, {"size_px": None}, "card"),
        (mean_of_red, {"classes": "pink"}, "several names"),
        (mean_of_red, {"classes": ["a", "b"]}, "output.classes"),
        (mean_of_red, {"threshold": 1.5}, "between 0 and 1"),
        (mean_of_red, {"name": "../x"}, "name of a model"),
        (mean_of_red, {"activation": "relu"}, "relu"),
        (mean_of_red, {"std": (0.0, 1.0, 1.0)}, "std is above 0"),
        (raises, {}, "does not take its tiles: the sizes"),
        (MeanOfRed(), {}, "training mode"),
        (lambda tiles: 5 * mean_of_red(tiles), {}, "outside 0..1"),
    ],
)
def test_a_network_that_does_not_fit_its_words_is_refused(
    tmp_path: Path, network: Callable[[Any], Any], changed: dict[str, Any], message: str
) -> None:
    slide = write_slide(tmp_path / "s.tif", 192)
    with pytest.raises(ModelError, match=message):
        list(wsi_ai.run_slides(slide, network, tmp_path / "out", **{**OWN, **changed}))
    assert not (tmp_path / "out").exists()


def test_words_of_a_card_are_for_networks_in_memory_only(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="threshold: only of a network in memory"):
        wsi_ai.run_slides("s.tif", "models/x", tmp_path, threshold=0.5)
    with pytest.raises(ModelError, match="needs mpp, classes, threshold beside it"):
        wsi_ai.run_slides("s.tif", mean_of_red, tmp_path, size_px=64)
    with pytest.raises(ModelError, match="posts no flags"):
        wsi_ai.run_slides("s.tif", mean_of_red, tmp_path, post=object(), **OWN)  # type: ignore[arg-type]


def test_a_site_that_runs_signed_models_only_runs_no_network_in_memory(tmp_path: Path) -> None:
    options = wsi_ai.RunOptions(trusted_keys=tmp_path)
    with pytest.raises(ModelError, match="signed models only"):
        list(wsi_ai.run_slides("s.tif", mean_of_red, tmp_path / "out", options, **OWN))


@pytest.mark.parametrize("device", ["cuda", "cpu,cpu"])
def test_a_network_in_memory_runs_in_this_process_only(tmp_path: Path, device: str) -> None:
    options = wsi_ai.RunOptions(device=device)
    with pytest.raises(DeviceError, match="in this process"):
        list(wsi_ai.run_slides("s.tif", mean_of_red, tmp_path / "out", options, **OWN))


def test_the_notebook_runs_cell_by_cell(tmp_path: Path, sample: Callable[..., Path]) -> None:
    """As plain Python, in a folder with the demo's models, on the slide that it would draw."""
    (tmp_path / "first-steps").mkdir()
    (tmp_path / "first-steps" / "slide.svs").symlink_to(sample(size_px=4096, seed=31, tumour=True))
    notebook = json.loads((ROOT / "docs" / "first-steps.ipynb").read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert all(not line.startswith(("%", "!")) for cell in cells for line in cell.splitlines())
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(cells)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "expedite" in done.stdout
