"""Slides of any size and share of tissue: a few drawn blocks of tissue, laid again and again.

They look like no slide, and cost what one costs: every tile is encoded and stored of its own.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.frame import BLOCK_PX, RAGGED_PX, U8, BlockAt, window
from wsi_ai.demo.spec import SampleSpec
from wsi_ai.demo.svs import write_svs

_SOURCE_PX = 8192
"""Of the drawn slide that the blocks are from."""
BLOCKS = 24
"""Of tissue: enough that neighbours differ."""


class Mosaic:
    """See ``demo.pyramid.Drawing``: tissue in the middle, glass around it."""

    def __init__(self, side_px: int, tissue: float, blocks: Sequence[U8], glass: U8) -> None:
        across = -(-side_px // BLOCK_PX)
        self._blocks, self._glass = blocks, glass
        middle = (across - 1) / 2
        cells = sorted(
            product(range(across), repeat=2),
            key=lambda cell: (max(abs(cell[0] - middle), abs(cell[1] - middle)), cell),
        )
        self._covered = frozenset(cells[: round(tissue * len(cells))])

    def bare(self, at: BlockAt) -> bool:
        return (at.by, at.bx) not in self._covered

    def block(self, at: BlockAt) -> U8:
        """RGB [512, 512, 3]."""
        if self.bare(at):
            return self._glass
        return self._blocks[(31 * at.by + 7 * at.bx) % len(self._blocks)]


def tissue_blocks(seed: int, workers: int) -> tuple[list[U8], U8]:
    """Blocks that are all tissue, and one of glass, of a slide that is drawn for it."""
    drawing = SampleDrawing(SampleSpec(_SOURCE_PX, seed, tumour=True), workers)
    across = _SOURCE_PX // BLOCK_PX
    places = [BlockAt(bx, by) for by in range(across) for bx in range(across)]
    full = [at for at in places if window(drawing.plan.tissue, at).min() > RAGGED_PX]
    glass = next(at for at in places if drawing.bare(at))
    step = max(1, len(full) // BLOCKS)
    return [drawing.block(at) for at in full[::step][:BLOCKS]], drawing.block(glass)


def write_mosaic(
    path: Path, side_px: int, tissue: float, blocks: tuple[Sequence[U8], U8], workers: int
) -> None:
    """A slide of ``side_px`` along a side (.svs, 0.5 µm/px), of which that share is tissue.

    ``blocks`` are those of ``tissue_blocks``.  Written aside and renamed.  Raises OSError.
    """
    if not 0 < tissue <= 1:
        raise ValueError(f"some of a slide is tissue, got {tissue}")
    full, glass = blocks
    turned = [np.ascontiguousarray(block[:, ::-1]) for block in full]
    drawing = Mosaic(side_px, tissue, [*full, *turned], glass)
    aside = path.with_name(f"{path.name}.part")
    try:
        write_svs(aside, drawing, SampleSpec(side_px), lambda done, rows: None, workers)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
