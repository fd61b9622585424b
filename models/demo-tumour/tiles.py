"""Tiles of synthetic slides, to train on.  Nothing here is real tissue."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.demo import SampleSpec
from wsi_ai.demo.atlases import make_atlases
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.frame import BLOCK_PX, F32, HALO_PX, BlockAt, fine

SIDE_PX, CUT_PX = 224, 256  # what the network sees; what is kept, so that there is room to turn
DOWN = 4  # maps of what is where are a quarter the size
NEST_SHARE = 0.05  # a tile with this share of tumour nests is a tumour tile
SIZE_PX = 5120


@dataclass(frozen=True)
class Tiles:
    """RGB uint8 [n, 256, 256, 3], and where nests are, bool [n, 64, 64]."""

    rgb: NDArray[np.uint8]
    nest: NDArray[np.bool_]


@dataclass(frozen=True)
class DrawnSlide:
    """A slide as pixels, and maps of what is where."""

    rgb: NDArray[np.uint8]
    nest: NDArray[np.bool_]
    grown: NDArray[np.bool_]
    """Where the tumour has grown: nests, and the stroma among them."""
    fat: NDArray[np.bool_]
    mucosa: NDArray[np.bool_]
    cells: F32


def tiles_of_seed(seed: int, per_kind: int) -> Tiles:
    """Of two slides: one with a tumour; one without, with pen or out of focus on some seeds.

    Up to `per_kind` tumour tiles, and as many others of either slide.
    """
    cv2.setNumThreads(1)
    tumour = SampleSpec(size_px=SIZE_PX, seed=seed, tumour=True)
    free = SampleSpec(size_px=SIZE_PX, seed=seed, pen=seed % 3 == 0, blur=seed % 3 == 1)
    atlases, rng = make_atlases(tumour, workers=1), np.random.default_rng([seed, 99])
    drawn = (draw(SampleDrawing(spec, 1, atlases)) for spec in (tumour, free))
    return join([_pick(rng, slide, per_kind) for slide in drawn])


def draw(drawing: SampleDrawing) -> DrawnSlide:
    n = drawing.spec.size_px // BLOCK_PX
    side, small, part = n * BLOCK_PX, n * BLOCK_PX // DOWN, BLOCK_PX // DOWN
    rgb = np.zeros((side, side, 3), np.uint8)
    nest, grown, fat, mucosa = (np.zeros((small, small), np.bool_) for _ in range(4))
    cells = np.zeros((small, small), np.float32)
    middle = np.s_[HALO_PX:-HALO_PX:DOWN, HALO_PX:-HALO_PX:DOWN]
    for at in (BlockAt(bx, by) for by in range(n) for bx in range(n)):
        y, x = at.by * BLOCK_PX, at.bx * BLOCK_PX
        rgb[y : y + BLOCK_PX, x : x + BLOCK_PX] = drawing.block(at)
        own = np.s_[at.by * part : (at.by + 1) * part, at.bx * part : (at.bx + 1) * part]
        nest[own] = drawing.nests(at)[::DOWN, ::DOWN]
        grown[own] = fine(drawing.plan.tumour, at)[middle] > 0
        fat[own] = fine(drawing.plan.fat, at)[middle] > 0
        mucosa[own] = fine(drawing.plan.mucosa, at)[middle] > 0
        cells[own] = fine(drawing.plan.lymph, at)[middle]
    return DrawnSlide(rgb, nest, grown, fat, mucosa, cells)


def squares(image: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """An image cut on a plain grid: [rows * columns, side, side, ...], the remainder left out."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    full = image[: rows * side, : columns * side]
    cut = full.reshape(rows, side, columns, side, *image.shape[2:]).swapaxes(1, 2)
    return cut.reshape(rows * columns, side, side, *image.shape[2:])


def _pick(rng: np.random.Generator, slide: DrawnSlide, per_kind: int) -> Tiles:
    grids = [_grid(slide, shift) for shift in (0, CUT_PX // 2)]
    rgb, nest, odds = (np.concatenate([grid[k] for grid in grids]) for k in range(3))
    share, picked = nest.mean((1, 2)), []
    sparse = 1 + 2 * (share < 0.3)  # where nests are few there is most to learn
    for wanted, weight in ((share >= NEST_SHARE, sparse), (share == 0, odds)):
        there = np.flatnonzero(wanted & (weight > 0))
        if len(there):
            p = weight[there] / weight[there].sum()
            picked.append(rng.choice(there, min(per_kind, len(there)), replace=False, p=p))
    index = np.concatenate(picked)
    return Tiles(rgb[index], nest[index])


def _grid(slide: DrawnSlide, shift_px: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], F32]:
    """Tiles of a grid that starts at `shift_px`, their nests, and how often they are shown.

    Crypts and crowds of lymphocytes are the look-alikes: they are shown more often, fat and
    bare glass less, and never what lies in the tumour without a nest: it is neither.
    """
    own = np.s_[shift_px // DOWN :, shift_px // DOWN :]
    side = CUT_PX // DOWN
    grown, fat, mucosa, crowd = (
        squares(m[own], side).mean((1, 2))
        for m in (slide.grown, slide.fat, slide.mucosa, slide.cells > 0.35)
    )
    rgb = np.asarray(squares(slide.rgb[shift_px:, shift_px:], CUT_PX), np.uint8)
    odds = 1 + 4 * (crowd > 0.3) + 2 * (mucosa > 0.6)
    odds = np.where(fat > 0.5, 0.35, odds)
    odds = np.where(rgb[:, ::4, ::4].std((1, 2)).mean(1) < 6, 0.06, odds)
    odds = np.where(grown > 0.1, 0, odds)
    return rgb, np.asarray(squares(slide.nest[own], side), np.bool_), odds.astype(np.float32)


def join(parts: list[Tiles]) -> Tiles:
    return Tiles(np.concatenate([t.rgb for t in parts]), np.concatenate([t.nest for t in parts]))
