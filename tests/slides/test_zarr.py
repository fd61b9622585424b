"""OME-Zarr images, as the specification has them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.tiles.memory import noise
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.readers.zarr import open_slide
from wsi_ai.testing import SlideContract

PIXELS = np.kron(noise(160, 120), np.ones((4, 4, 1), np.uint8))


def write(folder: Path, version: int, axes: str = "cyx", pixels: np.ndarray = PIXELS) -> Path:
    """Two levels; 0.4 on Zarr 2, 0.5 on Zarr 3."""
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == 4 else 3)
    sides, datasets = {"t": 1, "z": 1}, []
    for level, step in enumerate((1, 4)):
        small = pixels[::step, ::step]
        shaped = small.transpose(["yxc".index(a) for a in axes if a in "yxc"])
        shaped = shaped.reshape([sides.get(a) or small.shape["yxc".index(a)] for a in axes])
        chunks = tuple(1 if a in "tz" else 100 for a in axes)
        group.create_array(str(level), data=shaped, chunks=chunks)
        scale = [0.25 * step if a in "xy" else 1.0 for a in axes]
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    named = [{"name": a, **({"unit": "micrometer"} if a in "xy" else {})} for a in axes]
    about = {"multiscales": [{"version": f"0.{version}", "axes": named, "datasets": datasets}]}
    group.attrs.update({"ome": {"version": "0.5", **about}} if version == 5 else about)
    return folder


class TestZarrSlide(SlideContract):
    @pytest.fixture(params=[(4, "tczyx"), (5, "cyx"), (5, "yxc")])
    def slide(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Slide]:
        with open_slide(write(tmp_path / "slide.zarr", *request.param)) as slide:
            assert slide.info.spacing == Spacing(0.25, 0.25)
            np.testing.assert_array_equal(slide.read(0, 0, 0, 640, 480), PIXELS)
            yield slide


def test_other_folders_are_declined(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat):
        open_slide(tmp_path)


def test_a_heatmap_is_no_slide(tmp_path: Path) -> None:
    folder = write(tmp_path / "slide.zarr", 5, pixels=PIXELS.astype(np.float32))
    with pytest.raises(SlideError):
        open_slide(folder)


def test_a_damaged_chunk_cannot_be_read_and_others_can(tmp_path: Path) -> None:
    folder = write(tmp_path / "slide.zarr", 5)
    (folder / "0" / "c" / "0" / "0" / "0").write_bytes(b"damaged")
    with open_slide(folder) as slide:
        with pytest.raises(TileUnreadable):
            slide.read(0, 0, 0, 50, 50)
        np.testing.assert_array_equal(slide.read(0, 200, 200, 9, 9), PIXELS[200:209, 200:209])


def test_the_fingerprint_changes_with_any_chunk(tmp_path: Path) -> None:
    folder = write(tmp_path / "slide.zarr", 5)
    before = open_slide(folder).info.fingerprint
    chunk = folder / "1" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes() + b"x")
    assert open_slide(folder).info.fingerprint != before


def test_a_scale_of_the_whole_image_counts_as_well(tmp_path: Path) -> None:
    folder = write(tmp_path / "slide.zarr", 4)
    group = zarr.open_group(folder, mode="r+")
    about = group.attrs.asdict()["multiscales"]
    about[0]["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 2.0, 4.0]}]
    group.attrs["multiscales"] = about
    with open_slide(folder) as slide:
        assert slide.info.spacing == Spacing(1.0, 0.5)


def test_slides_whose_names_begin_alike_have_names_of_their_own(tmp_path: Path) -> None:
    names = "S24.1-A1.ome.zarr", "S24.2-A1.ome.zarr", "S24.3.zarr"
    found = [open_slide(write(tmp_path / name, 5)).info.slide_id for name in names]
    assert found == ["S24.1-A1", "S24.2-A1", "S24.3"]


def test_without_a_unit_of_length_the_scale_is_not_known(tmp_path: Path) -> None:
    folder = write(tmp_path / "slide.zarr", 4)
    group = zarr.open_group(folder, mode="r+")
    about = group.attrs.asdict()["multiscales"]
    del about[0]["axes"][2]["unit"]
    group.attrs["multiscales"] = about
    with open_slide(folder) as slide:
        assert slide.info.spacing is None


def test_several_planes_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "slide.zarr", 5, "tczyx")
    group = zarr.open_group(folder, mode="r+")
    group.create_array("0", data=np.zeros((1, 3, 2, 480, 640), np.uint8), overwrite=True)
    with pytest.raises(SlideError, match="2 along z"):
        open_slide(folder)


def test_a_chunk_that_was_left_out_is_white_only_where_a_coarser_level_shows_glass(
    tmp_path: Path,
) -> None:
    """Writers leave out chunks of the fill value; so do copies that stopped."""
    fine, coarse = np.full((256, 256, 3), 255, np.uint8), np.full((64, 64, 3), 255, np.uint8)
    fine[:, :128], coarse[:, :32] = (180, 90, 140), (180, 90, 140)
    folder = tmp_path / "slide.zarr"
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    for name, pixels in (("0", fine), ("1", coarse)):
        group.create_array(name, data=pixels, chunks=(64, 64, 3), fill_value=255)
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    scales = [{"type": "scale", "scale": [um, um, 1]} for um in (0.5, 2.0)]
    datasets = [
        {"path": str(n), "coordinateTransformations": [scale]} for n, scale in enumerate(scales)
    ]
    axes.append({"name": "c", "type": "channel"})
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    assert not (folder / "0" / "0.3.0").exists()
    with open_slide(folder) as slide:
        assert (slide.read(0, 192, 0, 64, 64) == 255).all()
    (folder / "0" / "0.0.0").unlink()
    with open_slide(folder) as slide, pytest.raises(TileUnreadable, match="chunk is missing"):
        slide.read(0, 0, 0, 64, 64)


@pytest.mark.parametrize("fill", [0, 255])
def test_a_chunk_that_its_shard_leaves_out_is_no_tissue_and_no_glass(
    tmp_path: Path, fill: int
) -> None:
    pixels = np.full((400, 400, 3), 120, np.uint8)
    pixels[:100, 100:200] = fill  # left out, as one that was never written is
    folder = write(tmp_path / "slide.zarr", 5, "yxc", pixels)
    array = zarr.open_group(folder, mode="r+").create_array(
        "0", shape=pixels.shape, chunks=(100, 100, 3), shards=(400, 400, 3), dtype="u1",
        fill_value=fill, overwrite=True,
    )  # fmt: skip
    array[...] = pixels
    coarse = zarr.open_array(folder / "1", mode="r+")
    coarse[...] = 120
    with open_slide(folder) as slide:
        assert slide.read(0, 0, 0, 100, 100).max() == 120
        with pytest.raises(TileUnreadable, match="missing from its shard"):
            slide.read(0, 100, 0, 100, 100)
