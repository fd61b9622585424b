"""Which reader gets a slide, and what it is told."""

import os
from pathlib import Path

import pytest

from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.run.unopened import unopened
from wsi_ai.slides.registry import open_slide

PLUG_IN = """
from wsi_ai.errors import UnknownFormat
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.testing import PaintedSlide

def open_slide(path, spacing=None):
    if path.read_bytes() != b"painted":
        raise UnknownFormat("not painted")
    return PaintedSlide(Size(64, 64), spacing or Spacing(0.25, 0.25))
"""


@pytest.fixture
def painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that only an installed plug-in reads."""
    about = tmp_path / "painted_reader-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: painted-reader\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[wsi_ai.readers]\npainted = painted_reader:open_slide\n"
    )
    (tmp_path / "painted_reader.py").write_text(PLUG_IN)
    (tmp_path / "slide.painted").write_bytes(b"painted")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "slide.painted"


def test_a_plug_in_reads_what_the_others_decline(painted: Path, cmu: Path) -> None:
    with open_slide(painted, Spacing(0.7, 0.8)) as slide:
        assert slide.info.spacing == Spacing(0.7, 0.8)
    with open_slide(painted, reader="painted") as slide:
        assert slide.info.spacing == Spacing(0.25, 0.25)
    with pytest.raises(UnknownFormat, match="not painted"):
        open_slide(cmu, reader="painted")


@pytest.mark.parametrize(
    ("wanted", "reader"), [(None, "tiff"), ("openslide", "openslide"), ("tiffslide", "tiffslide")]
)
def test_the_reader_that_is_asked_for_reads_and_hears_of_the_scale(
    cmu: Path, wanted: str | None, reader: str
) -> None:
    with open_slide(cmu, Spacing(0.7, 0.8), wanted) as slide:
        assert (slide.info.reader, slide.info.spacing) == (reader, Spacing(0.7, 0.8))


def test_whoever_is_asked_for_and_declines_is_not_replaced(cmu: Path) -> None:
    with pytest.raises(UnknownFormat, match="not a DICOM file"):
        open_slide(cmu, reader="dicom")


def test_where_all_decline_the_last_one_says_why(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    path.write_text("no slide")
    with pytest.raises(UnknownFormat, match="OpenSlide knows"):
        open_slide(path)


@pytest.mark.parametrize("kind", ["pipe", "endless", "long"])
def test_what_is_no_file_is_refused_at_once_in_words(tmp_path: Path, kind: str) -> None:
    """Opening a pipe waits for a writer, and a device has no end: the whole run would wait."""
    path = tmp_path / ("x" * 300 if kind == "long" else "x.svs")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    with pytest.raises(
        SlideError, match=r"cannot be read: (not a regular file|File name too long)"
    ):
        open_slide(path)
    assert unopened(path, None).reader == "none"
