"""What colour the glass has: where it is not near neutral, all other colours are wrong as well."""

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Mask
from wsi_ai.tissue.bands import bands_of
from wsi_ai.tissue.channels import brightest, darkest
from wsi_ai.tissue.thumbnail import Thumbnail

_FLAT = 2.5
"""Grey levels of deviation over five pixels: tissue has more structure."""
_REACH_PX = 5
"""Of the blur, three pixels; and of the deviation after it, two."""
_NEARLY_WHITE = 252
"""In all colours: filled in by a program, or burnt out; says nothing of the scanner's colours."""
_BRIGHT = 0.9
"""Of the brightest that is seen."""
_SEEN = 0.01
"""Of the picture: less glass than this has no verdict."""
_LIMIT = 0.25
"""Largest difference between the glass's colours, of the largest.  A white point that is off by 8 %
either way has 0.15; colours decoded as others, RGB for YCbCr or the reverse, have 0.4 and more."""
_WHITE_SEEN, _LIMIT_BESIDE_WHITE = 0.05, 0.4
"""Where so much is white, what is flat and coloured may be pale tissue instead."""
_SPREAD = 30
"""Grey levels between the 10th and the 90th percentile of each colour: glass is of one colour."""
_HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "magenta", "pink")
_HUE_ENDS = (0.04, 0.11, 0.2, 0.45, 0.54, 0.72, 0.87, 0.97)


@dataclass(frozen=True, slots=True)
class Glass:
    """What was seen of the glass."""

    share: float
    """Of the picture."""
    cast: float
    """0 for neutral; ``limit`` and more are wrong colours.  0 where too little was seen."""
    colour: str
    """Its name; empty where it is neutral, or too little was seen."""
    limit: float = _LIMIT

    @property
    def seen(self) -> bool:
        return self.share >= _SEEN


def look_at_glass(thumbnail: Thumbnail, most: float = _LIMIT) -> Glass:
    """The bright and flat parts of a slide, whatever their colour; not what is pure white."""
    pixels = thumbnail.pixels
    bright, white = brightest(pixels), darkest(pixels) >= _NEARLY_WHITE
    open_to = ~thumbnail.unread & ~white
    if not open_to.any():
        return Glass(0.0, 0.0, "", most)
    top = float(np.percentile(bright[open_to], 99))
    limit = max(most, _LIMIT_BESIDE_WHITE) if float(white.mean()) >= _WHITE_SEEN else most
    glass = open_to & (bright >= _BRIGHT * top) & _flat(pixels)
    share = float(glass.mean())
    if share < _SEEN:
        return Glass(share, 0.0, "", limit)
    shares = [np.percentile(shade[glass], (10, 50, 90)).tolist() for shade in cv2.split(pixels)]
    if max(high - low for low, _, high in shares) > _SPREAD:
        return Glass(0.0, 0.0, "", limit)
    red, green, blue = (middle for _, middle, _ in shares)
    cast = (max(red, green, blue) - min(red, green, blue)) / max(red, green, blue, 1.0)
    return Glass(share, cast, _name(red, green, blue) if cast >= limit else "", limit)


def is_grey(thumbnail: Thumbnail, tissue: Mask) -> bool:
    """Whether there is tissue, and not one pixel of the slide has a colour."""
    pixels = thumbnail.pixels
    return bool(tissue.any()) and bool((brightest(pixels) == darkest(pixels)).all())


def _flat(pixels: NDArray[np.uint8]) -> Mask:
    """In each colour."""
    flat = np.ones(pixels.shape[:2], np.bool_)
    for band in bands_of(pixels, _REACH_PX):
        for shade in cv2.split(cv2.GaussianBlur(band.seen, (0, 0), 1.0)):
            soft = shade.astype(np.float32)
            mean = cv2.blur(soft, (5, 5))
            variance = cv2.blur(soft * soft, (5, 5)) - mean * mean
            flat[band.place] &= variance[band.own] < _FLAT**2
    return flat


def _name(red: float, green: float, blue: float) -> str:
    hue = colorsys.rgb_to_hsv(red, green, blue)[0]
    return next((n for n, end in zip(_HUES, _HUE_ENDS, strict=True) if hue < end), "red")
