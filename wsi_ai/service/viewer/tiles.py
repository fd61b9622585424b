"""A picture of a part of a slide, as it is sent."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size
from wsi_ai.errors import TileUnreadable

Image = NDArray[np.uint8]
QUALITY = 85
_DARK, _LIGHT, _UNSCANNED = 148, 186, 226
_STRIPE_PX = 8
_SMALLEST_PX = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture."""

    content: bytes
    media_type: str
    readable: bool = True
    """False where the file's own pixels could not be decoded: then it is hatched there."""


def encoded(pixels: Image) -> bytes:
    """As JPEG."""
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=QUALITY, colorspace="RGB", colorsubsampling="420"
    )
    return data


def decoded(data: bytes) -> Image:
    """Raises ValueError."""
    return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"), np.uint8)


def hatch(height: int, width: int) -> Image:
    """Grey stripes: pixels that are there and cannot be read.  White would read as glass."""
    rows, cols = np.ogrid[:height, :width]
    stripes = (rows + cols) // _STRIPE_PX % 2
    grey = np.where(stripes, _LIGHT, _DARK).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


@lru_cache(maxsize=16)
def unreadable(size: Size) -> Picture:
    """In the place of a tile that cannot be read."""
    return Picture(_png(hatch(size.height, size.width)), "image/png", readable=False)


@lru_cache(maxsize=16)
def unscanned(size: Size) -> Picture:
    """In the place of a tile of which the file says that it was never scanned: plain light grey,
    which is no glass either."""
    return Picture(_png(np.full((size.height, size.width), _UNSCANNED, np.uint8)), "image/png")


def read_or_hatch(slide: Slide, level: int, at: tuple[int, int], size: Size) -> tuple[Image, bool]:
    """``size`` pixels of a level from the level-0 pixel ``at``, and whether all could be read.

    What cannot be read is hatched: a part that fails is halved until the damage is confined.
    """
    x, y = at
    try:
        return slide.read(level, x, y, size.width, size.height), True
    except TileUnreadable:
        if max(size.width, size.height) <= _SMALLEST_PX:
            return hatch(size.height, size.width), False
    down, out = slide.info.downsamples[level], np.empty((size.height, size.width, 3), np.uint8)
    for top, height in _halves(size.height):
        for left, width in _halves(size.width):
            corner = round(x + left * down), round(y + top * down)
            part, _ = read_or_hatch(slide, level, corner, Size(width, height))
            out[top : top + height, left : left + width] = part
    return out, False


def _halves(length: int) -> list[tuple[int, int]]:
    """Where each half begins, and how long it is."""
    if length <= _SMALLEST_PX:
        return [(0, length)]
    middle = length // 2
    return [(0, middle), (middle, length - middle)]


def _png(pixels: Image) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()
