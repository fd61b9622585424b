"""A small picture of the whole slide, for finding tissue and for people."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import Mask, SlideInfo
from wsi_ai.errors import TileUnreadable
from wsi_ai.tissue.budget import LookBudget

_READ_PX = 1024
_SMALLEST_READ_PX = 128


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """The whole slide at one scale."""

    pixels: NDArray[np.uint8]
    """(rows, cols, 3) RGB."""
    unread: Mask
    """(rows, cols): where the stored pixels could not be decoded; white in ``pixels``."""


def take_thumbnail(
    slide: Slide, long_side_px: int = 2048, budget: LookBudget | None = None
) -> Thumbnail:
    """Shrink the slide by area averaging to at most ``long_side_px``, holding one piece of it.

    Reads the coarsest level that is not coarser than the thumbnail.  A piece that cannot be read
    is halved until the damage is confined, and marked in ``unread``.  Raises SlideError where the
    budget is spent.
    """
    budget = budget or LookBudget.from_settings()
    size = slide.info.size
    scale = max(1.0, max(size.width, size.height) / long_side_px)
    level = slide.info.level_for(scale)
    shape = Size(max(1, round(size.width / scale)), max(1, round(size.height / scale)))
    pixels = np.full((shape.height, shape.width, 3), 255, np.uint8)
    unread = np.zeros((shape.height, shape.width), np.bool_)
    side = max(1, int(_READ_PX * slide.info.downsamples[level] / scale))
    for top in range(0, shape.height, side):
        for left in range(0, shape.width, side):
            rows = slice(top, min(top + side, shape.height))
            cols = slice(left, min(left + side, shape.width))
            _fill(slide, level, (rows, cols), Thumbnail(pixels, unread), budget)
    return Thumbnail(pixels, unread)


def _fill(
    slide: Slide,
    level: int,
    place: tuple[slice, slice],
    out: Thumbnail,
    budget: LookBudget,
) -> None:
    """Read the part of the slide under ``place`` into ``out``."""
    rows, cols = place
    height, width = rows.stop - rows.start, cols.stop - cols.start
    y0, y1 = _span(rows, out.pixels.shape[0], slide.info.size.height)
    x0, x1 = _span(cols, out.pixels.shape[1], slide.info.size.width)
    down = slide.info.downsamples[level]
    read = Size(max(1, round((x1 - x0) / down)), max(1, round((y1 - y0) / down)))
    budget.check(3 * read.width * read.height)
    try:
        piece = slide.read(level, x0, y0, read.width, read.height)
    except TileUnreadable:
        if min(read.width, read.height) <= _SMALLEST_READ_PX or min(width, height) < 2:
            out.unread[rows, cols] = True
            return
        for r in _halves(rows):
            for c in _halves(cols):
                _fill(slide, level, (r, c), out, budget)
        return
    out.pixels[rows, cols] = cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA)


def _span(part: slice, parts: int, size: int) -> tuple[int, int]:
    return part.start * size // parts, part.stop * size // parts


def _halves(part: slice) -> tuple[slice, slice]:
    middle = (part.start + part.stop) // 2
    return slice(part.start, middle), slice(middle, part.stop)


def pixel_spacing(slide: SlideInfo, thumbnail: Thumbnail) -> Spacing:
    """Micrometres per thumbnail pixel."""
    rows, cols = thumbnail.unread.shape
    spacing = slide.known_spacing()
    return Spacing(
        spacing.x_um * slide.size.width / cols,
        spacing.y_um * slide.size.height / rows,
    )
