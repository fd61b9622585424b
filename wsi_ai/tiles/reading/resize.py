"""One tile at another size, as Pillow and with it torchvision resize it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Tile = NDArray[np.uint8]


def resized(tile: Tile, side: int) -> Tile:
    """(side, side, 3): bilinear over the whole area that a pixel of the result covers, in 8 bits
    (``Image.resize``)."""
    image = Image.fromarray(tile).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8)
