"""From the stored scale to the model's."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.geometry import Size

Image = NDArray[np.uint8]
Shrink = Callable[[Image, Image], None]
"""From (height, width, 3) into (size, size, 3), both uint8.  Threads may share it."""


def shrinker(read: Size, size_px: int) -> Shrink:
    """Area averaging, fast.

    The picture is first stretched, linearly, to the nearest whole multiple of what is wanted, and
    then averaged over whole squares: OpenCV has vector code for both, but none for averaging over
    broken squares.  A model's tile is averaged from its own pixels alone, so neighbours meet
    without a seam.  Against exact area averaging, 418 to 224 px of H&E: 58 dB, at most 5 grey
    levels, a third of the time.
    """
    whole = Size(size_px * _times(read.width, size_px), size_px * _times(read.height, size_px))

    def stretch(source: Image, out: Image | None = None) -> Image:
        to = (whole.width, whole.height)
        return np.asarray(cv2.resize(source, to, dst=out, interpolation=cv2.INTER_LINEAR), np.uint8)

    def shrink(source: Image, out: Image) -> None:
        if whole == Size(size_px, size_px):
            stretch(source, out)
        else:
            source = source if read == whole else stretch(source)
            cv2.resize(source, (size_px, size_px), dst=out, interpolation=cv2.INTER_AREA)

    return shrink


def _times(length: int, size_px: int) -> int:
    return max(1, round(length / size_px))
