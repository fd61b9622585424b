"""The demo of a slide classification finds the tumour that was drawn."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
import zarr

from tests.conftest import ROOT
from tests.depth import nightly
from wsi_ai.core.flags import Level
from wsi_ai.run.run_slides import run_slides

MODEL = ROOT / "models" / "demo-slide"


def test_attention_lies_on_the_tumour_and_the_slide_is_expedited(
    sample: Callable[..., Path], tmp_path: Path
) -> None:
    slide = sample(size_px=4096, seed=31, tumour=True)
    (outcome,) = run_slides([slide], MODEL, tmp_path)
    assert outcome.level is Level.EXPEDITE
    assert outcome.folder is not None
    layer = np.asarray(zarr.open_array(outcome.folder / "heatmap.ome.zarr" / "0", mode="r"))[0]
    truth = json.loads(slide.with_suffix(".geojson").read_text())["features"]
    rings = [f for f in truth if f["properties"]["classification"]["name"] == "Tumor"]
    tumour = shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in rings])
    row, col = np.nonzero(np.isfinite(layer))
    x, y, attention = col * 224, row * 224, layer[row, col]
    squares = shapely.box(x, y, x + 224, y + 224)
    inside = shapely.area(shapely.intersection(squares, tumour)) > 224**2 / 2
    assert inside[np.argsort(-attention)[:10]].sum() >= 8
    assert attention[inside].mean() > 5 * attention[~inside].mean()


@pytest.mark.parametrize("seed", [32, nightly(41)])
def test_without_a_tumour_it_is_standard(
    sample: Callable[..., Path], tmp_path: Path, seed: int
) -> None:
    (outcome,) = run_slides([sample(size_px=4096, seed=seed)], MODEL, tmp_path)
    assert outcome.level is Level.STANDARD
