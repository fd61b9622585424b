"""Where nuclei are dense, as far as a thumbnail shows it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.tissue.thumbnail import Thumbnail

_LARGEST_PX = 512
_STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical density in R, G and B of haematoxylin, eosin and DAB: A. C. Ruifrok and D. A. Johnston,
Quantification of histochemical staining by color deconvolution, Anal Quant Cytol Histol 23 (2001)
291-299."""


def haematoxylin_density(thumbnail: Thumbnail) -> NDArray[np.float32]:
    """(rows, cols) of the whole slide, at most 512 along a side: optical density of haematoxylin,
    by colour deconvolution with fixed stain vectors.

    Ink can look like haematoxylin, and in another stain the value means something else: good enough
    to choose where to look first, and for nothing else.
    """
    rows, cols = thumbnail.unread.shape
    shrink = max(1.0, max(rows, cols) / _LARGEST_PX)
    shape = max(1, round(cols / shrink)), max(1, round(rows / shrink))
    small = cv2.resize(thumbnail.pixels, shape, interpolation=cv2.INTER_AREA)
    density = -np.log10((small.astype(np.float32) + 1) / 256)
    stains = np.array(_STAINS)
    unmixed = np.linalg.inv(stains / np.linalg.norm(stains, axis=1, keepdims=True))
    return density @ unmixed[:, 0].astype(np.float32)
