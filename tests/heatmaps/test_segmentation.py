"""A segmentation of a painted slide by a model that returns its input: on disk is the slide."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import zarr
from numpy.typing import NDArray
from ome_zarr_models.v05.image import Image

from tests.heatmaps.parts import (
    EchoRuntime,
    Killed,
    KilledAfter,
    assessed,
    dense_card,
    painted,
    waves,
)
from wsi_ai.core.cards import Activation
from wsi_ai.core.flags import Level
from wsi_ai.core.geometry import Box, Size, Step
from wsi_ai.errors import OutputError
from wsi_ai.heatmaps import DenseCanvas, Keep
from wsi_ai.heatmaps.cells import StoredLayers
from wsi_ai.heatmaps.dense_rows import DenseRows
from wsi_ai.heatmaps.pyramid import complete, halved
from wsi_ai.results.assessment import Assessment
from wsi_ai.testing import PaintedSlide
from wsi_ai.tiles.planning import plan_for
from wsi_ai.triage.judge import TriagePolicy
from wsi_ai.triage.rules import Area

STEP = 1 / 254
"""From one stored value to the next."""


def red(size: Size) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(size.width), np.arange(size.height))
    return waves(x, y)[0] / 255


def scores(folder: Path, level: int = 0) -> NDArray[np.float64]:
    """Read as docs/tasks.md says."""
    array = zarr.open_array(folder / "segmentation.ome.zarr" / str(level), mode="r")[...]
    return np.where(np.asarray(array) == 0, np.nan, (np.asarray(array, float) - 1) / 254)


@pytest.mark.parametrize(
    ("size", "tile", "stride"),
    [(Size(1000, 1500), 96, 72), (Size(1500, 700), 128, 128), (Size(1100, 1300), 160, 100)],
)
def test_what_is_on_disk_is_the_slide(tmp_path: Path, size: Size, tile: int, stride: int) -> None:
    assessed(painted(size), EchoRuntime(dense_card(tile, stride)), tmp_path / "kept")
    found = scores(tmp_path / "results")
    assert found.shape == (1, size.height, size.width)
    np.testing.assert_allclose(found[0], red(size), rtol=0, atol=STEP / 2 + 1e-5)


def test_it_is_a_valid_ome_zarr_image_that_lies_on_the_slide(tmp_path: Path) -> None:
    assessed(painted(Size(1100, 1300)), EchoRuntime(dense_card(96, 72)), tmp_path / "kept")
    group = zarr.open_group(tmp_path / "results/segmentation.ome.zarr", mode="r")
    assert isinstance(ome_zarr_models.open_ome_zarr(group), Image)
    (scales,) = group.attrs["ome"]["multiscales"]
    for k, dataset in enumerate(scales["datasets"]):
        scale, translation = (list(t.values())[-1] for t in dataset["coordinateTransformations"])
        assert scale == [1, 0.5 * 2**k, 0.5 * 2**k]
        assert translation == [0, 0.25 * (2**k - 1), 0.25 * (2**k - 1)]


def test_coarser_levels_are_means_of_what_was_assessed(tmp_path: Path) -> None:
    slide = painted(Size(1101, 1301), broken=(Box(0, 0, 150, 150),))
    assessed(slide, EchoRuntime(dense_card(96, 72)), tmp_path / "kept")
    fine = np.pad(scores(tmp_path / "results")[0], ((0, 1), (0, 1)), constant_values=np.nan)
    parts = fine.reshape(651, 2, 551, 2)
    seen = np.isfinite(parts).any(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        wanted = np.nansum(parts, axis=(1, 3)) / np.isfinite(parts).sum(axis=(1, 3))
    coarse = scores(tmp_path / "results", 1)[0]
    np.testing.assert_array_equal(np.isfinite(coarse), seen)
    np.testing.assert_allclose(coarse[seen], wanted[seen], rtol=0, atol=STEP / 2 + 1e-6)


def test_a_lost_tile_is_missing_only_where_no_other_covers_it(tmp_path: Path) -> None:
    """Tiles of 96 px begin 12 px before their cells of 72 px."""
    slide = painted(Size(1000, 1000), broken=(Box(450, 450, 6, 6),))
    done, _ = assessed(slide, EchoRuntime(dense_card(96, 72)), tmp_path / "kept")
    lost = np.isnan(scores(tmp_path / "results")[0])
    rows, cols = np.nonzero(lost)
    cell = 432  # of 450 px, by cells of 72 px
    assert (rows.min(), rows.max() + 1) == (cell + 12, cell + 60)
    assert (cols.min(), cols.max() + 1) == (cell + 12, cell + 60)
    assert lost.sum() == 48 * 48
    assert done.heatmap is not None
    assert done.heatmap.missed.sum() == 9  # cells of 32 px that have lost pixels
    assert done.flag.coverage < 1


def test_the_rule_sees_the_mean_of_each_cell(tmp_path: Path) -> None:
    size = Size(1030, 1100)
    done, _ = assessed(painted(size), EchoRuntime(dense_card(96, 72)), tmp_path / "kept")
    assert done.heatmap is not None
    assert done.heatmap.step.x * 0.5 == 16
    whole = red(size)
    wanted = [
        [whole[r : r + 32, c : c + 32].mean() for c in range(0, 1030, 32)]
        for r in range(0, 1100, 32)
    ]
    np.testing.assert_allclose(done.heatmap.scores[0], wanted, rtol=0, atol=STEP)


def test_an_area_is_real_square_millimetres(tmp_path: Path) -> None:
    size = Size(1024, 2048)
    policy = TriagePolicy(rule=Area(area_mm2=0.1), threshold=0.6)
    done, _ = assessed(painted(size), EchoRuntime(dense_card(96, 72)), tmp_path / "kept", policy)
    cells = red(size).reshape(64, 32, 32, 32).mean(axis=(1, 3))
    area = sum(finding.area_mm2 for finding in done.flag.findings)
    assert done.flag.level is Level.EXPEDITE
    assert area == pytest.approx((cells >= 0.6).sum() * 0.016**2, rel=0.02)
    assert "cell score" in done.flag.reason


def test_an_early_flag_is_raised_once_the_rows_seen_are_enough(tmp_path: Path) -> None:
    policy = TriagePolicy(rule=Area(area_mm2=0.05), threshold=0.3)
    runtime = EchoRuntime(dense_card(96, 72))
    done, early = assessed(painted(Size(1024, 4096)), runtime, tmp_path / "kept", policy)
    assert [flag.level for flag in early] == [Level.EXPEDITE]
    assert early[0].coverage < 0.5
    assert done.flag.level is Level.EXPEDITE


TALL = Size(1024, 3000)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Assessment, Path]:
    """A run that was not killed, and where its results are."""
    folder = tmp_path_factory.mktemp("undisturbed")
    whole, _ = assessed(painted(TALL), EchoRuntime(dense_card(96, 72)), folder / "kept")
    return whole, folder / "results"


@pytest.mark.parametrize("after", [40, 300, 600])
def test_killed_it_goes_on_to_the_same_result(
    tmp_path: Path, after: int, undisturbed: tuple[Assessment, Path]
) -> None:
    """Rows of shards that were written are not inferred again."""
    card, (whole, results) = dense_card(96, 72), undisturbed
    with pytest.raises(Killed):
        assessed(painted(TALL), EchoRuntime(card), tmp_path / "kept", watch=KilledAfter(after))
    again, _ = assessed(painted(TALL), EchoRuntime(card), tmp_path / "kept")
    rows_written = (after - 4) // 15 * 72 // 256 * 256  # 15 tiles a row
    assert again.resumed >= rows_written // 72 * 15 - 30
    assert (again.resumed > 0) == (rows_written > 0)
    assert again.flag == whole.flag
    assert again.heatmap is not None
    assert whole.heatmap is not None
    np.testing.assert_array_equal(again.heatmap.scores, whole.heatmap.scores)
    for level in (0, 1, 2):
        np.testing.assert_array_equal(scores(results, level), scores(tmp_path / "results", level))


def test_what_another_question_left_is_thrown_away(tmp_path: Path) -> None:
    size, card = Size(1024, 3000), dense_card(96, 72)
    with pytest.raises(Killed):
        assessed(painted(size), EchoRuntime(card), tmp_path / "kept", watch=KilledAfter(400))
    state = tmp_path / "kept" / "rows.json"
    assert '"rows": 1792' in state.read_text()
    state.write_text(state.read_text().replace("ab", "cd"))
    again, _ = assessed(painted(size), EchoRuntime(card), tmp_path / "kept")
    assert again.resumed == 0
    np.testing.assert_allclose(
        scores(tmp_path / "results")[0], red(size), rtol=0, atol=STEP / 2 + 1e-5
    )


def test_maps_wider_than_a_shard_are_whole_at_every_level(tmp_path: Path) -> None:
    shape = (2, 2300, 4300)
    wanted = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    rows = DenseRows(tmp_path / "kept/a.zarr", Keep(tmp_path / "kept", "0" * 64, 1), shape)
    for top in range(0, shape[1], 700):
        rows.append(wanted[:, top : top + 700])
    complete(rows.path, dense_card(96, 72), PaintedSlide().info, Step(1, 1))
    root = zarr.open_group(rows.path, mode="r")
    assert np.array_equal(root["0"][...], wanted)
    assert np.array_equal(root["1"][...], np.stack([halved(layer) for layer in wanted]))


@pytest.mark.parametrize("activation", [Activation.SOFTMAX, Activation.SIGMOID])
def test_a_cell_is_marked_with_its_likeliest_class(tmp_path: Path, activation: Activation) -> None:
    card = replace(dense_card(96, 72), activation=activation)
    canvas = DenseCanvas(
        plan_for(card, painted(Size(800, 800)).info, np.ones((8, 8), np.bool_)),
        card,
        Keep(tmp_path, "0" * 64, 1),
    )
    scores = np.random.default_rng(1).choice([0, 0.2, 0.5, 0.7, 1, np.nan], (3, 90, 70))
    canvas._cells.scores = StoredLayers(tmp_path / "cells", scores.shape)
    canvas._cells.scores.append(scores.astype(np.float32))
    canvas._cells.planned = np.ones((90, 70), np.bool_)
    marks = canvas.marks().classes
    canvas.close()
    known = np.nan_to_num(scores, nan=-1)
    least = 0 if activation is Activation.SOFTMAX else 0.5
    wanted = np.where(known.max(axis=0) >= least, 1 + known.argmax(axis=0), 0)
    assert np.array_equal(marks, wanted)


def test_cells_on_the_disk_are_those_that_were_put_there(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((3, 600, 5), np.float32)
    layers = StoredLayers(tmp_path / "cells", scores.shape)
    for top in range(0, 500, 100):
        layers.append(scores[:, top : top + 100])
    scores[:, 500:] = np.nan
    np.testing.assert_array_equal(np.stack(list(layers)), scores)
    np.testing.assert_array_equal(np.concatenate(list(layers.bands()), axis=1), scores[:, :500])
    with pytest.raises(IndexError):
        layers[3]


def test_cells_that_are_cut_short_are_an_error(tmp_path: Path) -> None:
    layers = StoredLayers(tmp_path / "cells", (2, 10, 5))
    layers.append(np.ones((2, 10, 5), np.float32))
    with (tmp_path / "cells").open("r+b") as file:
        file.truncate(300)
    np.testing.assert_array_equal(layers[0], 1)
    with pytest.raises(OutputError, match="run it again"):
        layers[1]
