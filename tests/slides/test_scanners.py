"""Hamamatsu, Leica and Trestle by the fast reader: what OpenSlide sees in the same file."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import openslide as library
import pytest
import tifffile
from numpy.typing import NDArray

from tests.slides.scanner_files import SCN, marker_starts, write_ndpi, write_scn, write_trestle
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.readers import openslide
from wsi_ai.slides.readers.tiff import reader as tiff
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing import SlideContract
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles

Image = NDArray[np.uint8]
Write = Callable[[Path, list[Image]], None]
SCANNERS: dict[str, tuple[str, Write]] = {
    "hamamatsu": ("slide.ndpi", write_ndpi),
    "leica": ("slide.scn", write_scn),
    "trestle": ("slide.tif", write_trestle),
}


@pytest.fixture(scope="session")
def levels(shared_data: Path) -> list[Image]:
    """Tissue of 1024 x 768 px, and half of that."""
    with library.OpenSlide(shared_data / "slides" / "cmu-1-small-region.svs") as slide:
        fine = np.array(slide.read_region((600, 600), 0, (1024, 768)).convert("RGB"))
    return [fine, np.asarray(cv2.resize(fine, (512, 384), interpolation=cv2.INTER_AREA), np.uint8)]


@pytest.fixture(params=sorted(SCANNERS))
def scanner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(scanner: str, tmp_path: Path, levels: list[Image]) -> Path:
    name, write = SCANNERS[scanner]
    write(tmp_path / name, levels)
    return tmp_path / name


class TestContract(SlideContract):
    @pytest.fixture
    def slide(self, path: Path) -> Iterator[Slide]:
        with tiff.open_slide(path) as slide:
            yield slide


def test_it_is_what_openslide_takes_it_for(path: Path, scanner: str) -> None:
    with library.OpenSlide(path) as reference, open_slide(path) as slide:
        assert reference.properties["openslide.vendor"] == scanner
        assert slide.info.reader == "tiff"
        assert slide.info.vendor == scanner
        assert slide.info.size == Size(*reference.dimensions)
        assert slide.info.downsamples == (1.0, 2.0)
        assert set(slide.info.downsamples) <= set(reference.level_downsamples)
        x, y = (float(reference.properties[f"openslide.mpp-{axis}"]) for axis in "xy")
        assert slide.info.spacing == Spacing(x, y) == Spacing(0.5, 0.5)


def test_all_its_pixels_are_openslides(path: Path) -> None:
    with openslide.open_slide(path) as reference, tiff.open_slide(path) as slide:
        for level, down in enumerate(slide.info.downsamples):
            same = reference.info.downsamples.index(down)
            width, height = (int(s / down) for s in (slide.info.size.width, slide.info.size.height))
            np.testing.assert_array_equal(
                slide.read(level, 0, 0, width, height), reference.read(same, 0, 0, width, height)
            )


@pytest.mark.parametrize("mpp", [0.5, 1.0])
def test_decoded_once_its_tiles_are_openslides(path: Path, mpp: float) -> None:
    with openslide.open_slide(path) as reference, tiff.open_slide(path) as slide:
        plan, its_plan = (
            plan_tiles(s.info, np.ones((1, 1), np.bool_), TileSpec(100, mpp, 100))
            for s in (slide, reference)
        )
        ours = list(_taken(slide, plan))
        theirs = list(_taken(reference, its_plan))
    assert len(ours) == len(theirs) > 20
    np.testing.assert_array_equal(np.array(ours), np.array(theirs))


def _taken(slide: Slide, plan: object) -> Iterator[Image]:
    for batch in HostTiles(16, 2)(slide, plan, 0):  # type: ignore[arg-type]
        yield from np.asarray(batch.pixels).copy()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("two areas", lambda p, s: write_scn(p, s, [(300, 200), (500, 50)])),
        ("overlaps", lambda p, s: write_trestle(p, s, "OverlapsXY= 8 8 4 4")),
        ("a false table", lambda p, s: write_ndpi(p, s, shift=1)),
        ("markers out of line", lambda p, s: write_ndpi(p, [s[0][:, :1000]], 5)),
    ],
)
def test_what_is_no_grid_is_left_to_openslide(
    tmp_path: Path, levels: list[Image], name: str, write: Write
) -> None:
    path = tmp_path / "slide.bin"
    write(path, levels)
    with pytest.raises(UnknownFormat):
        tiff.open_slide(path)
    if name != "markers out of line":  # OpenSlide refuses that, too
        with open_slide(path) as slide:
            assert slide.info.reader == "openslide"


def test_ventanas_tiles_are_left_to_openslide(tmp_path: Path, levels: list[Image]) -> None:
    """They overlap by amounts that differ from tile to tile."""
    path = tmp_path / "slide.bif"
    xmp = (700, 1, 9, b"<iScan />", True)
    options = {"software": "ScanOutputManager 1.1.0.15854", "extratags": [xmp]}
    tifffile.imwrite(path, levels[0], tile=(128, 128), photometric="rgb", **options)  # type: ignore[arg-type]
    with pytest.raises(UnknownFormat, match="overlap"):
        tiff.open_slide(path)


def test_ndpi_is_known_by_its_content(tmp_path: Path, levels: list[Image]) -> None:
    write_ndpi(tmp_path / "hamamatsu.tif", levels)
    tifffile.imwrite(tmp_path / "generic.ndpi", levels[0], tile=(128, 128), photometric="rgb")
    for name, vendor in (("hamamatsu.tif", "hamamatsu"), ("generic.ndpi", "generic-tiff")):
        with tiff.open_slide(tmp_path / name) as slide:
            assert slide.info.vendor == vendor


def test_an_ndpi_level_without_markers_is_one_tile(tmp_path: Path, levels: list[Image]) -> None:
    path = tmp_path / "slide.ndpi"
    write_ndpi(path, levels, interval=0)
    with openslide.open_slide(path) as reference, tiff.open_slide(path) as slide:
        assert slide.encoded_level(0).encoding.tile == slide.info.size
        np.testing.assert_array_equal(
            slide.read(0, 40, 50, 300, 200), reference.read(0, 40, 50, 300, 200)
        )


def test_an_ndpi_tile_between_other_bytes_than_markers_cannot_be_read(
    tmp_path: Path, levels: list[Image]
) -> None:
    path = tmp_path / "slide.ndpi"
    write_ndpi(path, levels)
    data = bytearray(path.read_bytes())
    second = 16 + marker_starts(bytes(data[16:]))[1]
    data[second - 2 : second] = b"\x12\x34"
    path.write_bytes(data)
    with tiff.open_slide(path) as slide:
        for col in (0, 1):
            with pytest.raises(TileUnreadable):
                slide.read(0, col * 128, 0, 128, 8)
        assert slide.read(0, 256, 0, 128, 8).std() > 0


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_cut_short_it_is_refused_or_loses_tiles_and_what_is_left_is_true(
    path: Path, share: float
) -> None:
    whole = _all_tiles(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    try:
        left = _all_tiles(path)
    except SlideError:
        return
    assert len(left) < len(whole)
    for place, pixels in left.items():
        np.testing.assert_array_equal(pixels, whole[place])


def _all_tiles(path: Path) -> dict[tuple[int, int, int], Image]:
    """Those that can be read, by level and place."""
    found = {}
    with tiff.open_slide(path) as slide:
        for level, down in enumerate(slide.info.downsamples):
            for y in range(0, slide.info.size.height, 256):
                for x in range(0, slide.info.size.width, 256):
                    side = round(256 / down)
                    with suppress(TileUnreadable):
                        found[level, x, y] = slide.read(level, x, y, side, side)
    return found


@pytest.mark.parametrize(
    "xml",
    [
        SCN.format(glass=(800_000, 600_000), images="<image>").replace("</collection>", ""),
        '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"></scn>',
        SCN.format(glass=("many", 600_000), images=""),
        SCN.format(glass=(800_000, 600_000), images="<image><pixels /></image>"),
    ],
)
def test_a_malformed_scn_description_is_a_slide_error(
    tmp_path: Path, levels: list[Image], xml: str
) -> None:
    path = tmp_path / "slide.scn"
    tifffile.imwrite(
        path, levels[1], tile=(128, 128), photometric="rgb", description=xml, metadata=None
    )
    with pytest.raises(SlideError) as refused:
        tiff.open_slide(path)
    assert "slide.scn" not in str(refused.value)


QPTIFF = """<?xml version="1.0" encoding="utf-8"?>
<PerkinElmer-QPI-ImageDescription><DescriptionVersion>5</DescriptionVersion>
<ImageType>{kind}</ImageType><IsUnmixedComponent>False</IsUnmixedComponent>
<Objective>20x</Objective></PerkinElmer-QPI-ImageDescription>"""


def write_qptiff(path: Path, levels: list[Image], full: int = 1) -> None:
    """As Akoya's format description has it: full resolution, a thumbnail, reduced ones, a macro."""
    with tifffile.TiffWriter(path) as writer:

        def write(pixels: Image, kind: str, **how: object) -> None:
            per_cm = 20_000 * pixels.shape[1] / levels[0].shape[1]
            writer.write(
                pixels,
                photometric="rgb",
                metadata=None,
                software="PerkinElmer-QPI",
                description=QPTIFF.format(kind=kind),
                resolution=(per_cm, per_cm),
                resolutionunit=3,
                **how,  # type: ignore[arg-type]
            )

        for _ in range(full):
            write(levels[0], "FullResolution", tile=(128, 128), compression="jpeg")
        write(levels[0][:100, :100], "Thumbnail")
        for level in levels[1:]:
            write(level, "ReducedResolution", tile=(128, 128), compression="jpeg")
        write(levels[0][:80, :60], "Overview")


def test_a_brightfield_qptiff_is_read_without_its_thumbnail_and_macro(
    tmp_path: Path, levels: list[Image]
) -> None:
    write_qptiff(tmp_path / "slide.qptiff", levels)
    with open_slide(tmp_path / "slide.qptiff") as slide:
        info = slide.info
        assert info.vendor == "akoya"
        assert info.spacing == Spacing(0.5, 0.5)
        assert len(info.downsamples) == len(levels)
        for n, level in enumerate(levels):
            off = slide.read(n, 0, 0, 64, 64).astype(int) - level[:64, :64]
            assert np.abs(off).mean() < 8


def test_a_qptiff_of_several_channels_is_refused_naming_them(
    tmp_path: Path, levels: list[Image]
) -> None:
    write_qptiff(tmp_path / "slide.qptiff", levels, full=3)
    with pytest.raises(SlideError, match="3 channels at full resolution"):
        open_slide(tmp_path / "slide.qptiff")
