"""Every reader's slides keep the contract."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tiles.memory import MemoryLevel, memory_slide, noise
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size
from wsi_ai.slides.readers import openslide, tiffslide
from wsi_ai.slides.readers.tiff import reader as tiff
from wsi_ai.testing import PaintedSlide, SlideContract

Open = Callable[[Path], Slide]


class TestTiff(SlideContract):
    @pytest.fixture(
        params=["cmu-1-small-region.svs", "tcga-cr-7395-01a-01-ts1.svs", "cmu1_generic_pyramid.tif"]
    )
    def slide(self, shared_data: Path, request: pytest.FixtureRequest) -> Iterator[Slide]:
        with tiff.open_slide(shared_data / "slides" / request.param) as slide:
            yield slide


class TestOpenSlide(SlideContract):
    @pytest.fixture
    def slide(self, cmu: Path) -> Iterator[Slide]:
        with openslide.open_slide(cmu) as slide:
            yield slide


class TestTiffSlide(SlideContract):
    @pytest.fixture(params=["cmu-1-small-region.svs", "cmu1_generic_pyramid.tif"])
    def slide(self, shared_data: Path, request: pytest.FixtureRequest) -> Iterator[Slide]:
        with tiffslide.open_slide(shared_data / "slides" / request.param) as slide:
            yield slide


class TestMemory(SlideContract):
    @pytest.fixture
    def slide(self) -> Slide:
        return memory_slide(MemoryLevel(noise(700, 600), Size(100, 90)))


class TestMemoryOfAPart(SlideContract):
    """The stored part begins within the slide, on no grid."""

    @pytest.fixture
    def slide(self) -> Slide:
        return memory_slide(MemoryLevel(noise(700, 600), Size(100, 90), corner=(123, 45)))


class TestPainted(SlideContract):
    @pytest.fixture
    def slide(self) -> Slide:
        return PaintedSlide(downsamples=(1.0,))
