"""Tiles of synthetic slides, and whole slides in memory.  Nothing here is real tissue."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.demo import SampleSpec
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.frame import BLOCK_PX, F32, HALO_PX, BlockAt, fine

SIDE_PX, CUT_PX = 224, 256  # what the network sees; what is kept, so that there is room to turn
NEST_SHARE = 0.3  # a tile with this share of tumour nests is a tumour tile
UNCLEAR = 0.02  # a tile with less than NEST_SHARE but more than this is left out


@dataclass(frozen=True)
class Tiles:
    """RGB uint8 [n, side, side, 3] and 0 or 1 for each."""

    rgb: NDArray[np.uint8]
    tumour: NDArray[np.int64]


@dataclass(frozen=True)
class DrawnSlide:
    """A slide as pixels; the maps of what is where are a quarter the size."""

    rgb: NDArray[np.uint8]
    nest: NDArray[np.bool_]
    fat: NDArray[np.bool_]
    mucosa: NDArray[np.bool_]
    cells: F32


def draw_slide(spec: SampleSpec) -> DrawnSlide:
    cv2.setNumThreads(1)
    drawing, n = SampleDrawing(spec, workers=1), spec.size_px // BLOCK_PX
    side, small = n * BLOCK_PX, n * BLOCK_PX // 4
    rgb = np.zeros((side, side, 3), np.uint8)
    nest, fat, mucosa = (np.zeros((small, small), np.bool_) for _ in range(3))
    cells = np.zeros((small, small), np.float32)
    middle = slice(HALO_PX, -HALO_PX, 4)
    for by in range(n):
        for bx in range(n):
            at = BlockAt(bx, by)
            y, x = (slice(k * BLOCK_PX, (k + 1) * BLOCK_PX) for k in (by, bx))
            rgb[y, x] = drawing.block(at)
            y, x = (slice(k * BLOCK_PX // 4, (k + 1) * BLOCK_PX // 4) for k in (by, bx))
            nest[y, x] = drawing.nests(at)[::4, ::4]
            fat[y, x] = fine(drawing.plan.fat, at)[middle, middle] > 0
            mucosa[y, x] = fine(drawing.plan.mucosa, at)[middle, middle] > 0
            cells[y, x] = fine(drawing.plan.lymph, at)[middle, middle]
    return DrawnSlide(rgb, nest, fat, mucosa, cells)


def squares(image: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """An image cut on a plain grid: [rows * columns, side, side, ...], the remainder left out."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    full = image[: rows * side, : columns * side]
    cut = full.reshape(rows, side, columns, side, *image.shape[2:]).swapaxes(1, 2)
    return cut.reshape(rows * columns, side, side, *image.shape[2:])


def shares(mask: NDArray[np.bool_], side_px: int) -> NDArray[np.float64]:
    """The share of a quarter-size mask in every tile of a plain grid of `side_px`."""
    return np.asarray(squares(mask, side_px // 4).mean((1, 2)), np.float64)


def training_tiles(spec: SampleSpec, per_kind: int) -> Tiles:
    """Up to `per_kind` tumour tiles and as many others of one slide, 256 px.

    Crypts and crowds of lymphocytes are the look-alikes: they are shown more often, fat and
    bare glass less.
    """
    slide, rng = draw_slide(spec), np.random.default_rng([spec.seed, 99])
    grids = [_grid(slide, shift) for shift in (0, CUT_PX // 2)]
    rgb, nest, odds = (np.concatenate([g[k] for g in grids]) for k in range(3))
    picked = []
    for wanted, weight in ((nest >= NEST_SHARE, np.ones_like(odds)), (nest <= UNCLEAR, odds)):
        there = np.flatnonzero(wanted)
        if len(there):
            p = weight[there] / weight[there].sum()
            picked.append(rng.choice(there, min(per_kind, len(there)), replace=False, p=p))
    index = np.concatenate(picked)
    return Tiles(rgb[index], (nest[index] >= NEST_SHARE).astype(np.int64))


def _grid(slide: DrawnSlide, shift_px: int) -> tuple[NDArray[np.uint8], F32, F32]:
    """Tiles of a grid that starts at `shift_px`, their share of nests, and odds to be shown."""
    own = slice(shift_px // 4, None)
    maps = (slide.nest, slide.fat, slide.mucosa, slide.cells > 0.35)
    nest, fat, mucosa, crowd = (shares(m[own, own], CUT_PX) for m in maps)
    rgb = np.asarray(squares(slide.rgb[shift_px:, shift_px:], CUT_PX), np.uint8)
    odds = 1 + 6 * (crowd > 0.3) + 2 * (mucosa > 0.6)
    odds = np.where(fat > 0.5, 0.35, odds)
    odds = np.where(rgb[:, ::4, ::4].std((1, 2)).mean(1) < 6, 0.12, odds)
    return rgb, nest.astype(np.float32), odds.astype(np.float32)


def join(parts: list[Tiles]) -> Tiles:
    return Tiles(np.concatenate([t.rgb for t in parts]), np.concatenate([t.tumour for t in parts]))
