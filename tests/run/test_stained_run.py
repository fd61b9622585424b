"""Stain normalisation through a whole run."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from tests.models_for_tests import red_network, write_model
from wsi_ai.app import Outcome, run_slides
from wsi_ai.core.flags import Level
from wsi_ai.slides.readers.openslide import open_slide
from wsi_ai.tiles.stain import Macenko, Reinhard


def run(slide: Path, method: str, folder: Path) -> Outcome:
    said = f'stain_normalisation = "{method}"'
    model = write_model(folder / "m", red_network(), mpp=1.0, input=said)
    (outcome,) = run_slides([slide], model, folder / "out")
    return outcome


def scores(outcome: Outcome) -> np.ndarray:
    assert outcome.folder is not None
    return np.asarray(zarr.open_array(outcome.folder / "heatmap.ome.zarr" / "0", mode="r")[0])


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_the_heatmap_is_of_the_recoloured_tiles_and_the_record_says_how(
    cmu: Path, method: str, tmp_path: Path
) -> None:
    outcome = run(cmu, method, tmp_path)
    assert outcome.folder is not None
    told = json.loads((outcome.folder / "run.json").read_text())["stain_normalisation"]
    assert told.pop("method") == method
    if method == "macenko":
        recolour = Macenko(tuple(tuple(row) for row in told["mix"]))
    else:
        recolour = Reinhard(tuple(told["scale"]), tuple(told["shift"]))
    found, step = scores(outcome), 64 * 1.0 / 0.499
    with open_slide(cmu) as slide:
        for row, col in np.argwhere(np.isfinite(found))[::31].tolist():
            region = slide.read(0, round(col * step), round(row * step), 128, 128)
            shown = recolour(region, np)[..., 0].mean() / 255
            assert found[row, col] == pytest.approx(shown, abs=0.02)  # recoloured, then shrunk


def test_without_it_the_record_says_none(cmu: Path, tmp_path: Path) -> None:
    outcome = run(cmu, "none", tmp_path)
    assert outcome.folder is not None
    record = json.loads((outcome.folder / "run.json").read_text())
    assert record["stain_normalisation"] is None
    assert record["model"]["stain_normalisation"] == "none"


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_a_slide_whose_stain_cannot_be_found_is_not_assessed(method: str, tmp_path: Path) -> None:
    """One flat shade with a little noise, sharp enough to pass for tissue."""
    rng = np.random.default_rng(7)
    image = np.full((1024, 1024, 3), 245, np.uint8)
    grain = np.kron(rng.integers(-1, 2, (350, 350, 1)), np.ones((2, 2, 1), int))
    image[150:850, 150:850] = np.add(grain, (170, 90, 160))
    path = tmp_path / "flat.tif"
    tifffile.imwrite(
        path, image, tile=(256, 256), photometric="rgb", compression="deflate",
        resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    outcome = run(path, method, tmp_path)
    assert outcome.level is Level.NOT_ASSESSED
    assert "its stain cannot be found" in outcome.reason
    assert outcome.folder is not None
    assert not (outcome.folder / "heatmap.ome.zarr").exists()
