"""The demo model on sample slides: what was planted is found, where it was planted."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import shapely

from tests.conftest import DEMO_MODEL
from tests.depth import nightly
from wsi_ai.core.flags import Level
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.run_slides import run_slides

SEEDS = (32, 31, nightly(35))
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


def overlap(slide: Path, folder: Path) -> tuple[float, float]:
    """Share of the regions found that lies in the planted tumour, and of the tumour that was
    found.  Tiles at the outline reach beyond it."""
    truth, regions = planted(slide), found(folder)
    common = truth.intersection(regions).area
    return common / regions.area, common / truth.area


@pytest.mark.parametrize("seed", SEEDS)
def test_the_planted_tumour_is_found_where_it_was_planted(
    sample: Callable[..., Path], tmp_path: Path, seed: int
) -> None:
    slide = sample(size_px=4096, seed=seed, tumour=True)
    (outcome,) = run_slides([slide], DEMO_MODEL, tmp_path)
    assert outcome.level is Level.EXPEDITE
    assert outcome.folder is not None
    hit, covered = overlap(slide, outcome.folder)
    print(f"{hit:.3f} of the regions lie in the tumour, {covered:.3f} of the tumour was found")
    assert hit > 0.75
    assert covered > 0.5


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_a_small_slide_is_expedited_where_a_tumour_was_planted_and_only_there(
    sample: Callable[..., Path], tmp_path: Path, seed: int
) -> None:
    """evaluate.py of the model measures 40 seeds at four sizes."""
    slides = [sample(size_px=2048, seed=seed, tumour=tumour) for tumour in (True, False)]
    for slide, level in zip(slides, (Level.EXPEDITE, Level.STANDARD), strict=True):
        (outcome,) = run_slides([slide], DEMO_MODEL, tmp_path / level)
        assert outcome.level is level


class EarlyFlags(NoPost):
    """Keeps the early ones."""

    def __init__(self) -> None:
        self.got: list[Mapping[str, Any]] = []

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self.got.append(flag)
        return dict(flag)


def test_a_slide_with_a_tumour_is_expedited_before_a_quarter_of_it_was_seen(
    sample: Callable[..., Path], tmp_path: Path
) -> None:
    """benchmarks/time_to_flag.py measures ten slides."""
    slide, post = sample(seed=1, tumour=True), EarlyFlags()
    (outcome,) = run_slides([slide], DEMO_MODEL, tmp_path, post=post)
    (early,) = post.got
    assert early["qc"]["analysed_fraction"] < 0.25
    assert early["result"]["level"] == outcome.level == Level.EXPEDITE
    assert outcome.folder is not None
    assert overlap(slide, outcome.folder)[0] > 0.85


@pytest.mark.parametrize("marks", [{}, {"pen": True, "blur": True}])
@pytest.mark.parametrize("seed", [32, nightly(41)])
def test_a_slide_without_tumour_is_not_expedited(
    sample: Callable[..., Path], tmp_path: Path, marks: dict[str, bool], seed: int
) -> None:
    slide = sample(size_px=4096, seed=seed, **marks)
    (outcome,) = run_slides([slide], DEMO_MODEL, tmp_path)
    assert outcome.level is not Level.EXPEDITE
