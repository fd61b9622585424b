"""Blocks: drawn alone they are as drawn among others, and no border shows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.demo.conftest import FULL
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.frame import BLOCK_PX, BlockAt

SIDE = -(-FULL.size_px // BLOCK_PX)
ALL = [BlockAt(bx, by) for by in range(SIDE) for bx in range(SIDE)]


@pytest.fixture(scope="module")
def picture(drawing: SampleDrawing) -> NDArray[np.uint8]:
    blocks = np.stack([drawing.block(at) for at in ALL])
    grid = blocks.reshape(SIDE, SIDE, BLOCK_PX, BLOCK_PX, 3).swapaxes(1, 2)
    return grid.reshape(SIDE * BLOCK_PX, SIDE * BLOCK_PX, 3)


def test_a_block_does_not_depend_on_what_was_drawn_before_it(
    drawing: SampleDrawing, picture: NDArray[np.uint8]
):
    for bx, by in ((3, 2), (1, 4), (2, 2)):
        part = picture[by * BLOCK_PX : (by + 1) * BLOCK_PX, bx * BLOCK_PX : (bx + 1) * BLOCK_PX]
        assert np.array_equal(drawing.block(BlockAt(bx, by)), part)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_step_at_block_borders_is_as_large_as_beside_them(
    picture: NDArray[np.uint8], axis: int
):
    step = np.abs(np.diff(picture.astype(float).mean(2), axis=axis)).mean(1 - axis)
    at = np.arange(1, SIDE) * BLOCK_PX - 1
    beside = np.array([step[at + d].mean() for d in range(-15, 16) if d])
    assert abs(step[at].mean() - beside.mean()) < 3.5 * beside.std()
    assert step[at].mean() == pytest.approx(beside.mean(), rel=0.10)


def test_another_seed_draws_another_slide(drawing: SampleDrawing, free_drawing: SampleDrawing):
    n = min(len(d.plan.thick) for d in (drawing, free_drawing))
    a, b = (d.plan.thick[:n, :n] for d in (drawing, free_drawing))
    assert not np.array_equal(a, b)
    at = BlockAt(2, 2)
    assert not np.array_equal(drawing.block(at), free_drawing.block(at))


def test_nests_lie_on_tumour_slides_only(drawing: SampleDrawing, free_drawing: SampleDrawing):
    assert sum(drawing.nests(at).mean() for at in ALL) > 1
    assert not any(free_drawing.nests(at).any() for at in ALL if max(at.bx, at.by) < 4)


def test_bare_blocks_hold_nothing_but_glass(drawing: SampleDrawing):
    bare = [drawing.block(at) for at in ALL if drawing.bare(at)]
    assert bare
    assert all(block.min() > 225 for block in bare)
