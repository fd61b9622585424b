"""A sample slide is what a scanner would have written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.conftest import atlases_of
from tests.demo.conftest import FREE, Sample
from wsi_ai.demo import SampleSpec, write_sample_slide
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.svs import write_svs
from wsi_ai.demo.truth import truth_of


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
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    assert abs((a - b).mean()) < 1


def test_tiles_are_256_px_jpeg_with_colour_halved_across(full: Sample):
    with tifffile.TiffFile(full.path) as tif:
        page = tif.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        assert (page.tilewidth, page.tilelength) == (256, 256)
        assert page.compression.name == "JPEG"
        assert page.subsampling == (2, 1)


def test_the_bytes_do_not_depend_on_the_number_of_workers(
    free: Sample, free_drawing: SampleDrawing, tmp_path: Path
):
    one = tmp_path / "one.svs"
    write_svs(one, free_drawing, FREE, lambda done, total: None, workers=1)
    assert one.read_bytes() == free.path.read_bytes()
    truth = json.loads(free.path.with_suffix(".geojson").read_text())
    assert truth == json.loads(json.dumps(truth_of(free_drawing.plan)))


def test_progress_counts_rows_up_to_the_last(full: Sample):
    rows = range(512, 3073, 512)
    assert full.progress == [(min(k, full.spec.size_px), full.spec.size_px) for k in rows]


class StopHere(Exception):
    pass


def test_a_crash_in_the_middle_leaves_nothing_and_touches_nothing(
    tmp_path: Path, samples_folder: Path
):
    old = tmp_path / "s.geojson"
    old.write_text("{}")

    spec = replace(FREE, size_px=1100)
    atlases = atlases_of(samples_folder, spec)

    def stop(done: int, total: int) -> None:
        raise StopHere

    with pytest.raises(StopHere):
        write_sample_slide(tmp_path / "s.svs", spec, progress=stop, atlases=atlases)
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
