"""From amounts of stain to colour, by Beer-Lambert.

An eosin code is 0 (none) to RED_CELL - 1 (deep pink); from RED_CELL on it means red blood
cells.  A haematoxylin code is 0 to 255.
"""

import numpy as np
from numpy.typing import NDArray

from wsi_ai.demo.frame import U8, Floats

RED_CELL = 200
GLASS_RGB = (245, 245, 244)
# Optical density per unit of stain in R, G, B.  Haematoxylin as in Macenko et al. 2009
# (doi:10.1109/ISBI.2009.5193250); eosin between theirs and Ruifrok and Johnston's 2001,
# which is nearer to the pink of a scanner.
HAEMATOXYLIN = (0.5626, 0.7201, 0.4062)
EOSIN = (0.125, 0.740, 0.460)
BLOOD = (0.12, 0.74, 0.60)
HAEMATOXYLIN_OD, EOSIN_OD = 2.2, 0.92  # at code 255 and at RED_CELL


def stain_table(rng: np.random.Generator) -> NDArray[np.uint32]:
    """(eosin code << 8 | haematoxylin code) to R | G << 8 | B << 16; slides differ a little."""
    tint = np.exp(rng.normal(0, 0.06, (2, 3)))
    h_gain, e_gain = np.exp(rng.normal(0, 0.09, 2))
    code = np.arange(256.0)
    haem = (HAEMATOXYLIN_OD * h_gain * code / 255)[None, :, None] * (HAEMATOXYLIN * tint[0])
    pink = np.where(code < RED_CELL, EOSIN_OD * e_gain * code / RED_CELL, 0)
    red = np.where(code < RED_CELL, 0, 0.45 + 0.5 * (code - RED_CELL) / 55)
    warm = pink[:, None, None] * (EOSIN * tint[1]) + red[:, None, None] * np.array(BLOOD)
    masked = 1 - 0.55 * np.clip((code - 60) / 80, 0, 1)[None, :, None]  # nuclei take little eosin
    rgb = np.rint(np.array(GLASS_RGB) * 10 ** -(haem + warm * masked)).astype(np.uint32)
    return np.asarray(rgb[..., 0] | rgb[..., 1] << 8 | rgb[..., 2] << 16).ravel()


def grain(rng: np.random.Generator, side_px: int) -> U8:
    """What the camera takes away: fall-off towards the field's edges and noise, RGB."""
    fall: Floats = np.linspace(-1, 1, side_px, dtype=np.float32) ** 2
    noise = rng.normal(2.5, 0.8, (side_px, side_px, 3))
    return np.rint(np.clip((fall[:, None] + fall)[..., None] + noise, 0, 255)).astype(np.uint8)
