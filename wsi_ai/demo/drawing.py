"""Draw any block of a sample slide.  A block depends on the spec and its place alone."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.demo.atlases import Atlases, make_atlases
from wsi_ai.demo.frame import (
    BLOCK_PX,
    HALO_PX,
    RAGGED_PX,
    SIDE_PX,
    U8,
    BlockAt,
    Mask,
    cut,
    fine,
    window,
)
from wsi_ai.demo.marks import Dust
from wsi_ai.demo.plan import lay_out
from wsi_ai.demo.spec import SampleSpec
from wsi_ai.demo.stain import grain, stain_table
from wsi_ai.demo.tissue import Tissue

SHARPEN = 0.55  # scanners sharpen: the bright halo around nuclei is theirs


class SampleDrawing:
    """The slide of a spec.  Threads may draw blocks at the same time, in any order."""

    def __init__(self, spec: SampleSpec, workers: int = 2, atlases: Atlases | None = None) -> None:
        """`atlases`: those of the same seed and scale, where they are made already; with nests
        or without, a slide without tumour is the same."""
        self.spec = spec
        self.plan = lay_out(np.random.default_rng([spec.seed, 1]), spec)
        atlases = atlases or make_atlases(spec, workers)
        self._mottle = atlases.stroma.mottle
        self._tissue = Tissue(self.plan, atlases, spec.px_per_um)
        rng = np.random.default_rng([spec.seed, 3])
        self._table = stain_table(rng)
        # one field of the camera is 2 x 2 blocks, so that bare glass comes in four kinds only
        self._grain = grain(rng, 2 * BLOCK_PX)
        self._dust = Dust(rng, spec.size_px, spec.px_per_um)

    def bare(self, at: BlockAt) -> bool:
        """Is there nothing but glass in this block?"""
        marked = self.plan.ink.lies_on(at) or len(self._dust.near(at)) > 0
        return not (self._has_tissue(at) or marked)

    def block(self, at: BlockAt) -> U8:
        """RGB [512, 512, 3]."""
        y, x = (at.by % 2) * BLOCK_PX, (at.bx % 2) * BLOCK_PX
        dark = self._grain[y : y + BLOCK_PX, x : x + BLOCK_PX]
        middle = self.with_rim(at)[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
        return np.asarray(cv2.subtract(middle, dark), np.uint8)

    def with_rim(self, at: BlockAt) -> U8:
        """RGB [576, 576, 3] before the camera's grain; neighbours agree 4 px beyond the border."""
        codes: NDArray[np.uint16] = np.zeros((SIDE_PX, SIDE_PX), np.uint16)
        if self._has_tissue(at):
            canvas = self._tissue.draw(at)
            codes = np.asarray(canvas.eosin.astype(np.uint16) << 8 | canvas.haem, np.uint16)
        rgba = self._table[codes].view(np.uint8).reshape(SIDE_PX, SIDE_PX, 4)
        return self._scan(np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8), at)

    def nests(self, at: BlockAt) -> Mask:
        """Which pixels of a block, [512, 512], lie in a tumour nest."""
        return self._tissue.nests(at)

    def _has_tissue(self, at: BlockAt) -> bool:
        return bool(window(self.plan.tissue, at).max() > -RAGGED_PX)

    def _scan(self, img: U8, at: BlockAt) -> U8:
        """Dust and ink lie on the slide; optics blur, the camera sharpens."""
        self._dust.over(img, at)
        if self.plan.ink.lies_on(at):
            img = self.plan.ink.over(img, at, cut(self._mottle, at.x0, at.y0))
        soft = cv2.GaussianBlur(img, (5, 5), 0.62)
        wide = cv2.GaussianBlur(soft, (9, 9), 1.7)
        sharp = cv2.addWeighted(soft, 1 + SHARPEN, wide, -SHARPEN, 0)
        if window(self.plan.blur, at).max() > 0:
            w = np.clip(fine(self.plan.blur, at) / 400, 0, 1)
            sharp = cv2.blendLinear(sharp, cv2.GaussianBlur(img, (27, 27), 4.2), 1 - w, w)
        return np.asarray(sharp, np.uint8)
