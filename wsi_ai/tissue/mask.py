"""Where there is tissue.

Tissue is what is coloured or dark.  Small holes are closed and specks dropped; what could not be
read counts as tissue, so that damage is never taken for glass.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Mask, SlideInfo
from wsi_ai.tissue.channels import brightest, darkest
from wsi_ai.tissue.thumbnail import Thumbnail, pixel_spacing

_CHROMA_FLOOR, _CHROMA_CEILING = 9.0, 22.0  # of 255: pale eosin lies above, stained glass below
_DARK = 150  # of 255: what is this dark is something, whatever its colour
_CLOSE_UM = 30.0  # clefts and fat walls up to this wide belong to the tissue around them
_CLOSE_PX, _SIGMA_PX = 101, 8.0  # at most, however small the file says that a pixel is
_SPECK_MM2 = 0.005  # dust; a core biopsy's smallest fragment is larger


def find_tissue(slide: SlideInfo, thumbnail: Thumbnail) -> Mask:
    """(rows, cols) of the thumbnail: true where there is tissue or where nothing could be read."""
    pixel = pixel_spacing(slide, thumbnail)
    found = _coloured_or_dark(thumbnail.pixels, min(max(0.5, 4.0 / pixel.mean_um), _SIGMA_PX))
    side = min(2 * round(_CLOSE_UM / pixel.mean_um / 2) + 1, _CLOSE_PX)
    square = np.ones((side, side), np.uint8)
    closed = np.asarray(cv2.morphologyEx(found, cv2.MORPH_CLOSE, square, dst=found), np.uint8)
    mask = without_specks(closed, _SPECK_MM2 / (pixel.x_um * pixel.y_um / 1e6))
    mask |= thumbnail.unread
    return mask


def _coloured_or_dark(pixels: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    """(rows, cols): 1 where there is tissue, else 0."""
    smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma_px), np.uint8)
    bright, dark = brightest(smooth), darkest(smooth)
    chroma = cv2.subtract(bright, dark, dst=dark)
    otsu, _ = cv2.threshold(chroma, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    limit = min(max(otsu, _CHROMA_FLOOR), _CHROMA_CEILING)
    return ((chroma >= limit) | (bright < _DARK)).astype(np.uint8)


def without_specks(found: NDArray[np.uint8], least_px: float) -> Mask:
    """Drop the connected pieces of less than ``least_px`` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least_px
    keep[0] = False  # the first component is the background
    mask: Mask = keep[labels]
    return mask
