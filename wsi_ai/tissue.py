"""Where there is tissue.

Tissue is what is coloured or dark.  Small holes are closed and specks dropped; what could not be
read counts as tissue, so that damage is never taken for glass.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.thumbnail import Thumbnail, pixel_spacing
from wsi_ai.values import Mask, SlideInfo

_CHROMA_FLOOR, _CHROMA_CEILING = 9.0, 22.0  # of 255: pale eosin lies above, stained glass below
_DARK = 150  # of 255: what is this dark is something, whatever its colour
_CLOSE_UM = 30.0  # clefts and fat walls up to this wide belong to the tissue around them
_SPECK_MM2 = 0.005  # dust; a core biopsy's smallest fragment is larger


def find_tissue(slide: SlideInfo, thumbnail: Thumbnail) -> Mask:
    """(rows, cols) of the thumbnail: true where there is tissue or where nothing could be read."""
    pixel = pixel_spacing(slide, thumbnail)
    smooth = cv2.GaussianBlur(thumbnail.pixels, (0, 0), max(0.5, 4.0 / pixel.mean_um))
    red, green, blue = cv2.split(smooth)
    brightest = cv2.max(cv2.max(red, green), blue)
    chroma = cv2.subtract(brightest, cv2.min(cv2.min(red, green), blue))
    otsu, _ = cv2.threshold(chroma, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    limit = min(max(otsu, _CHROMA_FLOOR), _CHROMA_CEILING)
    found = ((chroma >= limit) | (brightest < _DARK)).astype(np.uint8)
    side = 2 * round(_CLOSE_UM / pixel.mean_um / 2) + 1
    square = np.ones((side, side), np.uint8)
    closed = np.asarray(cv2.morphologyEx(found, cv2.MORPH_CLOSE, square), np.uint8)
    mask = without_specks(closed, _SPECK_MM2 / (pixel.x_um * pixel.y_um / 1e6))
    return mask | thumbnail.unread


def without_specks(found: NDArray[np.uint8], least_px: float) -> Mask:
    """Drop the connected pieces of less than ``least_px`` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least_px
    keep[0] = False  # the first component is the background
    mask: Mask = keep[labels]
    return mask
