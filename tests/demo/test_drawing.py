"""Blocks: drawn alone they are as drawn among others, and no border shows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import atlases_of
from tests.demo.conftest import FREE, FULL, Sample
from wsi_ai.demo import SampleSpec
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.frame import BLOCK_PX, HALO_PX, BlockAt
from wsi_ai.demo.plan import lay_out

SIDE = -(-FULL.size_px // BLOCK_PX)
ALL = [BlockAt(bx, by) for by in range(SIDE - 1) for bx in range(SIDE - 1)]


def test_a_block_does_not_depend_on_what_was_drawn_before_it(drawing: SampleDrawing, full: Sample):
    """The file was written from another drawing of the same spec, all of its blocks in order."""
    at = BlockAt(2, 1)
    with full.open() as slide:
        corner = (at.bx * BLOCK_PX, at.by * BLOCK_PX)
        written = np.asarray(slide.read_region(corner, 0, (BLOCK_PX,) * 2).convert("RGB"), float)
    off = drawing.block(at).astype(float) - written
    assert np.abs(off).mean() < 6  # the JPEG's own loss
    again = drawing.block(at)
    drawing.block(BlockAt(3, 3))
    assert np.array_equal(drawing.block(at), again)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 1)])
def test_neighbours_draw_the_strip_along_their_border_alike(
    drawing: SampleDrawing, right: int, down: int
):
    before, after = slice(BLOCK_PX + HALO_PX - 4, BLOCK_PX + HALO_PX + 4), slice(28, 36)
    inner, varied = slice(HALO_PX, -HALO_PX), 0
    for at in ALL:
        here, there = drawing.with_rim(at), drawing.with_rim(BlockAt(at.bx + right, at.by + down))
        if right:
            here, there = here.swapaxes(0, 1), there.swapaxes(0, 1)
        assert np.array_equal(here[before, inner], there[after, inner])
        varied += int(here[before, inner].std() > 15)
    assert varied > 4


def test_another_seed_draws_another_slide(free_drawing: SampleDrawing, samples_folder: Path):
    spec, at = replace(FREE, seed=FULL.seed), BlockAt(2, 2)
    other = SampleDrawing(spec, atlases=atlases_of(samples_folder, spec))
    assert not np.array_equal(other.plan.tissue, free_drawing.plan.tissue)
    assert not np.array_equal(other.block(at), free_drawing.block(at))
    assert not np.array_equal(other.block(BlockAt(0, 0)), free_drawing.block(BlockAt(0, 0)))


def test_nests_lie_on_tumour_slides_only(drawing: SampleDrawing, free_drawing: SampleDrawing):
    assert sum(drawing.nests(at).mean() for at in ALL) > 1
    assert not any(free_drawing.nests(at).any() for at in ALL if max(at.bx, at.by) < 4)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size_px", [1024, 1025, 2048, 9000])
def test_a_slide_of_any_size_can_be_laid_out(size_px: int, seed: int):
    spec = SampleSpec(size_px=size_px, seed=seed, tumour=True, pen=True, blur=True)
    plan = lay_out(np.random.default_rng(seed), spec)
    assert np.isfinite(plan.regions.border).all()
    assert plan.tissue.max() > 0
    assert plan.tumour.max() > 0


def test_bare_blocks_hold_nothing_but_glass(drawing: SampleDrawing):
    bare = [drawing.block(at) for at in ALL if drawing.bare(at)]
    assert bare
    assert all(block.min() > 225 for block in bare)
