"""The heatmap on disk, read back with independent libraries."""

from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import zarr
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel

from tests.examples import SLIDE, STEP, example_heatmap
from wsi_ai.heatmaps import write_heatmap

HEATMAP = example_heatmap()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zarr") / "heatmap.ome.zarr"
    write_heatmap(path, HEATMAP)
    return path


def test_it_is_a_valid_ome_zarr_image_with_a_label(written: Path) -> None:
    image = ome_zarr_models.open_ome_zarr(zarr.open_group(written, mode="r"))
    label = ome_zarr_models.open_ome_zarr(zarr.open_group(written / "labels/assessed", mode="r"))
    assert isinstance(image, Image)
    assert isinstance(label, ImageLabel)


def test_the_scores_come_back_exactly_with_nan_where_not_assessed(written: Path) -> None:
    array = zarr.open_array(written / "0", mode="r")
    np.testing.assert_array_equal(array[...], HEATMAP.scores)
    assert np.isnan(array.fill_value)
    assert array.metadata.zarr_format == 3
    assert array.shards is not None


def test_channels_carry_the_names_of_the_classes_in_order(written: Path) -> None:
    omero = zarr.open_group(written, mode="r").attrs["ome"]["omero"]
    assert [channel["label"] for channel in omero["channels"]] == ["stroma", "red"]


def test_assessed_is_one_exactly_where_there_is_a_score(written: Path) -> None:
    mask = zarr.open_array(written / "labels/assessed/0", mode="r")[...]
    np.testing.assert_array_equal(mask, np.isfinite(HEATMAP.scores[0]))


def test_every_level_lies_where_its_cells_lie_on_the_slide(written: Path) -> None:
    """Micrometres of a cell's centre, from the file's transformations, against pixel counting."""
    (scales,) = zarr.open_group(written, mode="r").attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == ["c", "y", "x"]
    for k, dataset in enumerate(scales["datasets"]):
        scale, translation = (list(t.values())[-1] for t in dataset["coordinateTransformations"])
        for axis, step, um in ((1, STEP.y, SLIDE.spacing.y_um), (2, STEP.x, SLIDE.spacing.x_um)):
            first_px, last_px = 0, step * 2**k - 1  # centres of the outermost pixels of cell 0
            assert translation[axis] == pytest.approx((first_px + last_px) / 2 * um)
            assert scale[axis] == pytest.approx(step * 2**k * um)


def test_a_coarser_cell_is_the_mean_of_its_assessed_parts(written: Path) -> None:
    fine, coarse = (zarr.open_array(written / name, mode="r")[...] for name in "01")
    assert coarse.shape == (2, 46, 67)
    assert coarse[1, 20, 30] == pytest.approx(fine[1, 40:42, 60:62].mean(), rel=1e-6)
    assert coarse[1, 20, 66] == pytest.approx(fine[1, 40:42, 132].mean(), rel=1e-6)
    assert np.isnan(coarse[1, 9, 0])


def test_writing_over_something_is_refused(written: Path) -> None:
    with pytest.raises(FileExistsError):
        write_heatmap(written, HEATMAP)
