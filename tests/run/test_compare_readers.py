"""Two readers, one slide: how far apart, and whether it matters."""

import json
import math
import shutil
from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.core.flags import Level
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.run.compare_readers import compare_readers
from wsi_ai.slides.registry import open_slide


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "red", red_network(), mpp=1.0)


FIXTURES = [
    ("slides/cmu-1-small-region.svs", None, "tiff"),
    ("slides/tcga-cr-7395-01a-01-ts1.svs", 1.0, "tiff"),
    ("slides/cmu1_generic_pyramid.tif", 0.7, "tiff"),
    ("dicom/wsi2dcm/jpeg.dcm", 0.5, "dicom"),
]


@pytest.mark.parametrize(("name", "mpp", "reader"), FIXTURES)
def test_the_readers_agree_on_pixels_and_flag(
    shared_data: Path, model: Path, name: str, mpp: float | None, reader: str
) -> None:
    found = compare_readers(shared_data / name, model, options=RunOptions(mpp, override_mpp=True))
    assert found.readers == (reader, "openslide")
    assert found.tiles > 0
    assert (found.max_difference, found.unmatched) == (0, 0)
    assert math.isinf(found.psnr_db)
    assert found.same_flag


def test_where_openslide_interpolates_the_flag_is_still_the_same_and_wrong_colours_stop_both(
    shared_data: Path, model: Path
) -> None:
    """On a level whose downsample is no whole number OpenSlide cannot be asked for whole pixels.
    The slide's maker took RGB samples for YCbCr, so that its glass is magenta."""
    found = compare_readers(shared_data / "slides" / "cmu1_generic_pyramid.tif", model)
    assert found.max_difference > 0
    assert found.psnr_db > 33
    assert found.same_flag
    assert {flag.level for flag in found.flags} == {Level.NOT_ASSESSED}
    assert "the glass is magenta" in found.flags[0].reason


@pytest.mark.parametrize(("name", "mpp", "reader"), [FIXTURES[0], FIXTURES[3]])
def test_a_run_says_which_reader_read_and_the_flag_is_the_same(
    shared_data: Path, model: Path, tmp_path: Path, name: str, mpp: float | None, reader: str
) -> None:
    levels = set[Level]()
    for wanted in (None, "openslide"):
        (done,) = run_slides(
            [shared_data / name],
            model,
            tmp_path / str(wanted),
            RunOptions(mpp, reader=wanted, override_mpp=True),
        )
        assert done.folder is not None
        said = json.loads((done.folder / "run.json").read_text())["slide"]["reader"]
        assert said == (wanted or reader)
        levels.add(done.level)
    assert len(levels) == 1


PLUG_IN = """
import numpy as np
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.readers.openslide import OpenSlideSlide, open_slide as through

class Wrong(OpenSlideSlide):
    def read(self, level, x, y, width, height):
        if width < 1000 and 900 < x < 1500 and 900 < y < 1500:
            raise TileUnreadable("left out on purpose")
        return np.full((height, width, 3), (200, 0, 0), np.uint8)

def open_slide(path, spacing=None):
    slide = through(path, spacing)
    slide.__class__ = Wrong
    return slide
"""


def test_a_reader_that_is_wrong_is_found_out(
    cmu: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in that sees red everywhere, and nothing in the middle."""
    about = tmp_path / "wrong_reader-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-reader\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[wsi_ai.readers]\nwrong = wrong_reader:open_slide\n")
    (tmp_path / "wrong_reader.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)
    right = compare_readers(cmu, model)
    found = compare_readers(cmu, model, (None, "wrong"))
    assert found.unmatched > 0
    assert found.tiles + found.unmatched == right.tiles
    assert found.max_difference > 100
    assert found.psnr_db < 20
    assert not found.same_flag
    assert found.flags[0].level == right.flags[0].level


def test_what_cannot_be_judged_is_not_compared(shared_data: Path, model: Path) -> None:
    with pytest.raises(SlideError, match="mpp"):
        compare_readers(shared_data / "damaged" / "bad_no_mpp.svs", model)


def test_one_reader_is_not_compared_with_itself(cmu: Path, model: Path) -> None:
    with pytest.raises(SlideError, match="both readers"):
        compare_readers(cmu, model, (None, "tiff"))


def test_an_unknown_reader_is_said_to_be_unknown(cmu: Path) -> None:
    with pytest.raises(UnknownFormat, match="no reader is called nonsense"):
        open_slide(cmu, reader="nonsense")


def test_content_chooses_the_reader_not_the_name(cmu: Path, tmp_path: Path) -> None:
    path = tmp_path / "slide.dcm"
    path.symlink_to(cmu)
    with open_slide(path) as slide:
        assert slide.info.reader == "tiff"


def test_readers_find_the_same_colour_profile(shared_data: Path) -> None:
    path = shared_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    with open_slide(path) as ours, open_slide(path, reader="openslide") as theirs:
        assert ours.info.icc_profile
        assert ours.info.icc_profile == theirs.info.icc_profile


def test_a_folder_that_is_a_dicom_slide_is_compared_as_a_run_takes_it(
    shared_data: Path, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "S26-1"
    folder.mkdir()
    shutil.copy(shared_data / "dicom" / "wsi2dcm" / "jpeg.dcm", folder)
    options = RunOptions(mpp=0.5, override_mpp=True)
    found = compare_readers(folder, model, ("dicom", "openslide"), options)
    assert found.readers == ("dicom", "openslide")
    assert found.same_flag
