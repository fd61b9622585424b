"""Tiles put together give what they were cut from, and no seam shows."""

import math
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size
from wsi_ai.heatmaps.blend import Blender, DenseGrid, window

Image = NDArray[np.float32]
_BEYOND = 9.0
"""What tiles show beyond the slide: it must never be blended in."""


@dataclass(frozen=True)
class Cut:
    """A picture cut into tiles of some grid."""

    grid: DenseGrid
    picture: Image

    @property
    def cells(self) -> list[tuple[int, int]]:
        rows = math.ceil(self.grid.size.height / self.grid.stride)
        cols = math.ceil(self.grid.size.width / self.grid.stride)
        return [(r, c) for r in range(rows) for c in range(cols)]

    def tile(self, row: int, col: int) -> Image:
        grid, n = self.grid, self.grid.tile
        padded = np.pad(self.picture, ((0, 0), (n, 2 * n), (n, 2 * n)), constant_values=_BEYOND)
        y, x = (n + k * grid.stride - grid.lead for k in (row, col))
        return padded[:, y : y + n, x : x + n]

    def covered(self, cells: list[tuple[int, int]]) -> NDArray[np.bool_]:
        grid = self.grid
        seen = np.zeros((grid.size.height, grid.size.width), bool)
        for row, col in cells:
            y, x = row * grid.stride - grid.lead, col * grid.stride - grid.lead
            seen[max(y, 0) : max(y + grid.tile, 0), max(x, 0) : max(x + grid.tile, 0)] = True
        return seen


def blended(cut: Cut, cells: list[tuple[int, int]]) -> Image:
    blender, out = Blender(cut.grid, len(cut.picture), np.copy), []
    for row, col in cells:
        out += list(blender.finish(cut.grid.begin(row)))
        blender.add(row, col, cut.tile(row, col))
    out += list(blender.finish(cut.grid.size.height))
    return np.concatenate([np.zeros((len(cut.picture), 0, cut.grid.size.width)), *out], axis=1)


@st.composite
def cuts(draw: st.DrawFn) -> Cut:
    tile = draw(st.integers(1, 24))
    stride = draw(st.integers(1, tile))
    size = Size(draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    margin = draw(st.integers(0, 4))
    lead = draw(st.sampled_from([0, (tile - stride) // 2]))
    grid = DenseGrid(size, tile, stride, lead, margin)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return Cut(grid, rng.random((draw(st.integers(1, 3)), size.height, size.width), np.float32))


@settings(max_examples=150, deadline=None)
@given(cut=cuts(), lost=st.integers(0, 60), seed=st.integers(0, 9))
def test_a_model_that_returns_its_input_blends_to_the_identity(
    cut: Cut, lost: int, seed: int
) -> None:
    """At any overlap, on any grid, edges included; and NaN exactly where no tile was."""
    rng = np.random.default_rng(seed)
    cells = [cell for cell in cut.cells if rng.integers(100) >= lost]
    found, seen = blended(cut, cells), cut.covered(cells)
    assert found.shape == cut.picture.shape
    assert np.array_equal(np.isfinite(found).all(axis=0), seen)
    assert np.array_equal(np.isfinite(found).any(axis=0), seen)
    np.testing.assert_allclose(found[:, seen], cut.picture[:, seen], rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(overlap=st.integers(2, 60), margin=st.integers(0, 12))
def test_neighbours_weights_add_up_to_one(overlap: int, margin: int) -> None:
    grid = DenseGrid(Size(500, 500), 128, 128 - overlap, overlap // 2, margin)
    weights = window(grid).astype(np.float64)
    both = weights[128 - overlap :] + weights[:overlap]
    np.testing.assert_allclose(both, 1, rtol=0, atol=3e-6)
    np.testing.assert_allclose(weights[overlap : 128 - overlap], 1)


@pytest.mark.parametrize(("overlap", "margin"), [(16, 0), (48, 8), (64, 0)])
def test_between_tiles_that_disagree_there_is_a_slope_and_no_step(
    overlap: int, margin: int
) -> None:
    grid = DenseGrid(Size(256, 64), 128, 128 - overlap, 0, margin)
    blender = Blender(grid, 1, np.copy)
    for col in range(3):
        blender.add(0, col, np.full((1, 128, 128), float(col % 2), np.float32))
    (rows,) = blender.finish(64)
    steepest = np.abs(np.diff(rows[0], axis=1)).max()
    assert steepest <= math.pi / 2 / (overlap - 2 * margin) + 1e-5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99))
def test_a_convolution_by_tiles_is_the_convolution_of_the_whole(seed: int) -> None:
    """The margin is what the convolution's padding spoils: nothing of that shows."""
    rng = np.random.default_rng(seed)
    reach, tile, overlap = 3, 40, 2 * 3 + 4
    grid = DenseGrid(Size(110, 95), tile, tile - overlap, overlap // 2, reach)
    picture = rng.random((1, 95, 110), np.float32)
    kernel = rng.random((7, 7)).astype(np.float32) / 49

    def convolved(image: Image) -> Image:
        padded = np.pad(image[0], reach)
        views = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
        return np.einsum("yxij,ij->yx", views, kernel)[None].astype(np.float32)

    cut, blender, out = Cut(grid, np.pad(picture, 0)), Blender(grid, 1, np.copy), []
    for row, col in cut.cells:
        out += list(blender.finish(grid.begin(row)))
        shown = np.where(cut.tile(row, col) == _BEYOND, 0, cut.tile(row, col))
        blender.add(row, col, convolved(shown.astype(np.float32)))
    out += list(blender.finish(95))
    found = np.concatenate(out, axis=1)
    np.testing.assert_allclose(found, convolved(picture), rtol=0, atol=1e-5)


def test_rows_are_held_no_longer_than_a_tile_is_high() -> None:
    """However high the slide is."""
    grid = DenseGrid(Size(512, 100_000), 64, 48, 8, 0)
    tile, band = np.ones((1, 64, 64), np.float32), 4 * 64 * 512
    tracemalloc.start()
    blender = Blender(grid, 1, np.copy)
    for row in range(2000):
        for _ in blender.finish(grid.begin(row)):
            pass
        blender.add(row, 0, tile)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * band
