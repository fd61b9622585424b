"""A sample slide is what a scanner would have written."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.demo.conftest import FREE, Sample, make
from wsi_ai.demo import SampleSpec, write_sample_slide


def test_openslide_takes_it_for_an_aperio_slide_of_the_spacing_asked_for(full: Sample):
    with full.open() as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(full.spec.mpp)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(full.spec.mpp)
        assert slide.properties["openslide.objective-power"] == "20"


def test_it_has_a_label_a_macro_image_and_a_thumbnail(full: Sample):
    with full.open() as slide:
        assert set(slide.associated_images) == {"label", "macro", "thumbnail"}


@pytest.mark.parametrize("which", ["full", "free"])
def test_levels_are_4_and_16_times_smaller_to_half_a_pixel(
    which: str, request: pytest.FixtureRequest
):
    sample: Sample = request.getfixturevalue(which)
    with sample.open() as slide:
        assert slide.level_dimensions[0] == (sample.spec.size_px,) * 2
        assert slide.level_count == 3
        for width, wanted in zip(slide.level_dimensions[1:], (4, 16), strict=True):
            assert abs(width[0] - sample.spec.size_px / wanted) <= 0.5
        for downsample, wanted in zip(slide.level_downsamples[1:], (4, 16), strict=True):
            assert downsample == pytest.approx(wanted, rel=0.5 * wanted / sample.spec.size_px)


def test_every_level_shows_the_same_picture(full: Sample):
    side = full.spec.size_px
    with full.open() as slide:
        whole = slide.read_region((0, 0), 0, (side, side)).convert("RGB").reduce(16)
        small = slide.read_region((0, 0), 2, slide.level_dimensions[2]).convert("RGB")
    a, b = (np.asarray(img, float)[:162, :162] for img in (whole, small))
    assert np.abs(a - b).mean() < 3


def test_tiles_are_256_px_jpeg_with_colour_halved_across(full: Sample):
    with tifffile.TiffFile(full.path) as tif:
        page = tif.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        assert (page.tilewidth, page.tilelength) == (256, 256)
        assert page.compression.name == "JPEG"
        assert page.subsampling == (2, 1)


def test_the_same_spec_gives_the_same_bytes_with_one_worker_and_with_two(
    free: Sample, tmp_path: Path
):
    again = make(tmp_path, FREE, workers=1)
    assert again.path.read_bytes() == free.path.read_bytes()
    truths = [s.path.with_suffix(".geojson").read_bytes() for s in (again, free)]
    assert truths[0] == truths[1]


def test_progress_counts_rows_up_to_the_last(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    spec = SampleSpec(size_px=1100, seed=9)
    write_sample_slide(tmp_path / "s.svs", spec, progress=lambda *rows: seen.append(rows))
    assert seen == [(512, 1100), (1024, 1100), (1100, 1100)]


class StopHere(Exception):
    pass


def test_a_crash_in_the_middle_leaves_nothing_and_touches_nothing(tmp_path: Path):
    old = tmp_path / "s.geojson"
    old.write_text("{}")

    def stop(done: int, total: int) -> None:
        raise StopHere

    with pytest.raises(StopHere):
        write_sample_slide(tmp_path / "s.svs", SampleSpec(size_px=1100), progress=stop)
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "{}"


def test_another_ending_than_svs_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"\.svs"):
        write_sample_slide(tmp_path / "s.tif", SampleSpec(size_px=1100))


@pytest.mark.parametrize(
    ("wrong", "said"), [({"size_px": 1000}, "1000"), ({"mpp": 1.5}, "1.5"), ({"seed": -1}, "-1")]
)
def test_a_slide_that_cannot_be_drawn_is_refused_with_what_was_found(
    wrong: dict[str, int], said: str
):
    with pytest.raises(ValueError, match=said):
        SampleSpec(**wrong)
