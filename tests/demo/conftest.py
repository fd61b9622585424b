"""One slide of each sort, drawn once for all tests."""

import json
from dataclasses import dataclass
from pathlib import Path

import openslide
import pytest
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from wsi_ai.demo import SampleSpec, write_sample_slide
from wsi_ai.demo.drawing import SampleDrawing

FULL = SampleSpec(size_px=2603, seed=4, tumour=True, pen=True, blur=True)  # 16 * 163 - 5
FREE = SampleSpec(size_px=2048, seed=5)


@dataclass(frozen=True)
class Sample:
    path: Path
    spec: SampleSpec
    regions: dict[str, list[BaseGeometry]]
    progress: list[tuple[int, int]]

    def open(self) -> openslide.OpenSlide:
        return openslide.OpenSlide(self.path)


def make(folder: Path, spec: SampleSpec) -> Sample:
    path, rows = folder / "sample.svs", list[tuple[int, int]]()
    truth_path = write_sample_slide(path, spec, progress=lambda *at: rows.append(at))
    truth = json.loads(truth_path.read_text())
    regions: dict[str, list[BaseGeometry]] = {}
    for feature in truth["features"]:
        name = feature["properties"]["classification"]["name"]
        regions.setdefault(name, []).append(shape(feature["geometry"]))
    return Sample(path, spec, regions, rows)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Tumour, pen, an area out of focus; a size that 16 does not divide."""
    return make(tmp_path_factory.mktemp("full"), FULL)


@pytest.fixture(scope="session")
def free(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """No tumour, no marks."""
    return make(tmp_path_factory.mktemp("free"), FREE)


@pytest.fixture(scope="session")
def drawing() -> SampleDrawing:
    """The drawing of `full`, by one worker."""
    return SampleDrawing(FULL, workers=1)


@pytest.fixture(scope="session")
def free_drawing() -> SampleDrawing:
    """The drawing of `free`, by one worker."""
    return SampleDrawing(FREE, workers=1)
