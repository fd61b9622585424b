"""Small slides with the property of reports that somebody filed against other programs."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from wsi_ai.core.flags import Status
from wsi_ai.errors import SlideError, TileUnreadable
from wsi_ai.slides.registry import open_slide
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.quality import QualityLimits, check_quality
from wsi_ai.tissue.thumbnail import take_thumbnail

Image = NDArray[np.uint8]
ABOUT = "Aperio Image Library\n1024x1024 (256x256)|AppMag = 20|MPP = 0.5"
TILED = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None}


def pixels() -> Image:
    rng = np.random.default_rng(5)
    spots = np.repeat(np.repeat(rng.integers(-40, 40, (256, 256, 1)), 4, 0), 4, 1)
    stained = np.clip(np.array((190, 120, 170)) + spots, 0, 255)
    stained[:300], stained[700:] = 244, 244
    return stained.astype(np.uint8)


def write(path: Path, levels: list[Image], per_cm: float = 20_000, about: str = "") -> Path:
    with tifffile.TiffWriter(path) as writer:
        for n, level in enumerate(levels):
            at = per_cm * level.shape[1] / levels[0].shape[1]
            options = {"resolution": (at, at), "resolutionunit": 3, "description": about}
            kind = 0 if about or n == 0 else 1
            writer.write(level, subfiletype=kind, **TILED, **options)  # type: ignore[arg-type]
    return path


def set_tag(path: Path, name: str, *values: int) -> None:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags[name].overwrite(values if len(values) > 1 else values[0])


def test_a_tile_of_no_bytes_in_a_plain_tiff_is_not_taken_for_glass(tmp_path: Path) -> None:
    """openslide#406, openslide#547: nothing in the file says that it was never scanned."""
    path = write(tmp_path / "a.tif", [pixels()])
    for name in ("TileOffsets", "TileByteCounts"):
        with tifffile.TiffFile(path) as tiff:
            kept = list(tiff.pages[0].tags[name].value)
        set_tag(path, name, *kept[:5], 0, *kept[6:])
    with open_slide(path) as slide, pytest.raises(TileUnreadable):
        slide.read(0, 300, 300, 64, 64)


def test_a_macro_image_stored_as_a_level_is_noticed_by_its_shape(tmp_path: Path) -> None:
    """bioformats#3757, qupath#879: level sizes that do not belong to one pyramid."""
    levels = [pixels(), pixels()[::4, ::4], pixels()[:256, :512]]
    with pytest.raises(SlideError, match="do not show the same"):
        open_slide(write(tmp_path / "a.svs", levels, about=ABOUT))


def test_a_size_that_the_tile_table_does_not_go_with_is_refused(tmp_path: Path) -> None:
    """tifffile#227: a bottom row of tiles is missing, or the height is wrong."""
    path = write(tmp_path / "a.tif", [pixels()])
    set_tag(path, "ImageLength", 1300)
    with pytest.raises(SlideError, match="16 tiles are listed where the image's size asks for 24"):
        open_slide(path)


def test_no_scale_is_guessed_where_the_file_has_none(tmp_path: Path) -> None:
    """TRIDENT#14: a magnification is no measurement, and 40x is not to be assumed."""
    path = write(tmp_path / "a.svs", [pixels()], about=ABOUT.replace("|MPP = 0.5", ""))
    with open_slide(path) as slide:
        assert slide.info.spacing is None


def test_the_scale_of_a_plain_tiff_is_that_of_its_resolution(tmp_path: Path) -> None:
    """tiffslide#77, dlup#40: CAMELYON16's files say it in no other place."""
    with open_slide(write(tmp_path / "a.tif", [pixels()], per_cm=41_152.27)) as slide:
        assert slide.info.known_spacing().mean_um == pytest.approx(0.243, rel=1e-3)


@pytest.mark.parametrize("blank", [0, 244])
def test_a_coarser_level_in_which_nothing_was_written_stops_a_slide(
    tmp_path: Path, blank: int
) -> None:
    """bioformats#4206: pyramid levels of some channels are empty, and tissue is sought there."""
    coarse = np.full((256, 256, 3), blank, np.uint8)
    for levels, passes in (([pixels(), pixels()[::4, ::4]], True), ([pixels(), coarse], False)):
        with open_slide(write(tmp_path / f"{passes}.tif", levels)) as slide:
            seen = take_thumbnail(slide)
            tissue = find_tissue(slide.info, seen)
            checks = check_quality(slide, seen, tissue, QualityLimits(focus_min=0)).checks
        status = next(check.status for check in checks if check.name == "levels")
        assert (status is Status.PASS) == passes
