"""The demo model on sample slides: what was planted is found, where it was planted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import shapely

from tests.conftest import DEMO_MODEL
from wsi_ai.app import run_slides
from wsi_ai.flags import Level

SEEDS = (31, 32, 33, 34, 35)
"""None of them was trained on."""


def planted(slide: Path) -> shapely.Geometry:
    features = json.loads(slide.with_suffix(".geojson").read_text())["features"]
    return shapely.union_all(
        [
            shapely.make_valid(shapely.from_geojson(json.dumps(feature["geometry"])))
            for feature in features
            if feature["properties"]["classification"]["name"] == "Tumor"
        ]
    )


def found(folder: Path) -> shapely.Geometry:
    features = json.loads((folder / "findings.geojson").read_text())["features"]
    return shapely.union_all(
        [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in features]
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_planted_tumour_is_found_where_it_was_planted(
    sample: Callable[..., Path], tmp_path: Path, seed: int
) -> None:
    slide = sample(size_px=4096, seed=seed, tumour=True)
    (outcome,) = run_slides([slide], DEMO_MODEL, tmp_path)
    assert outcome.level is Level.EXPEDITE
    assert outcome.folder is not None
    truth, regions = planted(slide), found(outcome.folder)
    common = truth.intersection(regions).area
    print(f"hit rate {common / regions.area:.3f}, found {common / truth.area:.3f} of the tumour")
    assert common / regions.area > 0.85
    assert common / truth.area > 0.4


@pytest.mark.parametrize("marks", [{}, {"pen": True, "blur": True}])
def test_a_slide_without_tumour_is_not_expedited(
    sample: Callable[..., Path], tmp_path: Path, marks: dict[str, bool]
) -> None:
    slide = sample(size_px=4096, seed=41, **marks)
    (outcome,) = run_slides([slide], DEMO_MODEL, tmp_path)
    assert outcome.level is not Level.EXPEDITE
