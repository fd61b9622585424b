"""One slide of each sort, drawn once for all tests."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import openslide
import pytest
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from tests.conftest import atlases_of
from wsi_ai.demo import SampleSpec
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


def drawn(path: Path, spec: SampleSpec) -> Sample:
    truth = json.loads(path.with_suffix(".geojson").read_text())
    regions: dict[str, list[BaseGeometry]] = {}
    for feature in truth["features"]:
        name = feature["properties"]["classification"]["name"]
        regions.setdefault(name, []).append(shape(feature["geometry"]))
    rows = json.loads((path.parent / "progress.json").read_text())
    return Sample(path, spec, regions, [(done, total) for done, total in rows])


@pytest.fixture(scope="session")
def full(sample: Callable[..., Path]) -> Sample:
    """Tumour, pen, an area out of focus; a size that 16 does not divide."""
    return drawn(sample(**asdict(FULL)), FULL)


@pytest.fixture(scope="session")
def free(sample: Callable[..., Path]) -> Sample:
    """No tumour, no marks."""
    return drawn(sample(**asdict(FREE)), FREE)


@pytest.fixture(scope="session")
def drawing(samples_folder: Path) -> SampleDrawing:
    """The drawing of `full`, by one worker."""
    return SampleDrawing(FULL, workers=1, atlases=atlases_of(samples_folder, FULL))


@pytest.fixture(scope="session")
def free_drawing() -> SampleDrawing:
    """The drawing of `free`, by one worker, from atlases of its own."""
    return SampleDrawing(FREE, workers=1)
