"""Blocks: drawn alone they are as drawn among others, and no border shows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from wsi_ai.demo import SampleSpec
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.frame import BLOCK_PX, BlockAt

SPEC = SampleSpec(size_px=3072, seed=4, tumour=True, pen=True, blur=True)
SIDE = SPEC.size_px // BLOCK_PX


@pytest.fixture(scope="module")
def drawing() -> SampleDrawing:
    return SampleDrawing(SPEC)


@pytest.fixture(scope="module")
def picture(drawing: SampleDrawing) -> NDArray[np.uint8]:
    rows = [
        np.concatenate([drawing.block(BlockAt(bx, by)) for bx in range(SIDE)], 1)
        for by in range(SIDE)
    ]
    return np.concatenate(rows)


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
    beside = np.concatenate([at + d for d in (-9, -6, -3, 3, 6, 9)])
    assert step[at].mean() == pytest.approx(step[beside].mean(), rel=0.06)


def test_another_seed_draws_another_slide(drawing: SampleDrawing):
    other = SampleDrawing(SampleSpec(size_px=3072, seed=5))
    assert not np.array_equal(other.plan.tissue, drawing.plan.tissue)
    assert not np.array_equal(other.block(BlockAt(2, 2)), drawing.block(BlockAt(2, 2)))


def test_nests_lie_on_tumour_slides_only(drawing: SampleDrawing):
    blocks = [BlockAt(bx, by) for bx in range(SIDE) for by in range(SIDE)]
    assert sum(drawing.nests(at).mean() for at in blocks) > 1
    free = SampleDrawing(SampleSpec(size_px=3072, seed=4))
    assert not any(free.nests(at).any() for at in blocks)


def test_bare_blocks_hold_nothing_but_glass(drawing: SampleDrawing):
    blocks = [BlockAt(bx, by) for bx in range(SIDE) for by in range(SIDE)]
    bare = [drawing.block(at) for at in blocks if drawing.bare(at)]
    assert bare
    assert all(block.min() > 225 for block in bare)
