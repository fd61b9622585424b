"""A picture some rows at a time, so that what is computed of it on the way is never held whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS = 128


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Some rows of a picture, and those around them that a filter reaches."""

    seen: NDArray[np.uint8]
    """(rows, cols, ...): with what is around."""
    own: slice
    """The band's own rows, of those of ``seen``."""
    place: slice
    """The same, of those of the picture."""


def bands_of(pixels: NDArray[np.uint8], reach_px: int) -> Iterator[Band]:
    """From the top.  A filter that reaches no further than ``reach_px`` gives the own rows what it
    gives them in the whole picture."""
    for top in range(0, len(pixels), _ROWS):
        end, first = min(top + _ROWS, len(pixels)), max(0, top - reach_px)
        seen = pixels[first : end + reach_px]
        yield Band(seen, slice(top - first, end - first), slice(top, end))
