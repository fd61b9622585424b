"""Adipocytes: rounded Voronoi cells, clear inside, with thin eosin walls."""

import cv2
import numpy as np

from wsi_ai.demo.frame import F32, Ints, u8, wrap
from wsi_ai.demo.noise import noise, scatter
from wsi_ai.demo.objects import Objects

PERIOD, RIM = 2048, 256


def fat_cells(rng: np.random.Generator, px: float) -> Objects:
    cx, cy = scatter(rng, PERIOD, 58 * px, 0.42)
    number = _nearest(cx, cy)
    inner = np.zeros(number.shape, np.uint8)
    here = number[1:-1, 1:-1]
    inner[1:-1, 1:-1] = (here == number[1:-1, 2:]) & (here == number[2:, 1:-1])
    # a disc rolled inside every cell rounds its corners
    shallow = np.asarray(cv2.distanceTransform(inner, cv2.DIST_L2, 5)) < 8.5 * px
    rolled = np.asarray(cv2.distanceTransform(shallow.astype(np.uint8), cv2.DIST_L2, 5))
    from_lumen = rolled[RIM:-RIM, RIM:-RIM] - 7.3 * px
    shade = np.clip(66 + 16 * noise(rng, PERIOD, 12 * px), 20, 110)
    wall = np.clip(from_lumen + 0.5, 0, 1) * shade
    own = number[RIM:-RIM, RIM:-RIM].astype(np.int16)
    return Objects(
        PERIOD,
        wrap(u8(wall)),
        wrap(u8(wall * 0.16)),
        wrap(own),
        cx,
        cy,
        np.zeros(len(cx), np.float32),
    )


def _nearest(cx: F32, cy: F32) -> Ints:
    """The number (from 1) of the nearest centre, for every pixel of the atlas and its border."""
    seed = np.full((PERIOD, PERIOD), 255, np.uint8)
    owner = np.zeros((PERIOD, PERIOD), np.int64)
    at = cy.astype(int), cx.astype(int)
    seed[at] = 0
    owner[at] = np.arange(1, len(cx) + 1)
    big = np.pad(owner, RIM, "wrap")
    _, label = cv2.distanceTransformWithLabels(
        np.pad(seed, RIM, "wrap"), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(label.max()) + 1, np.int64)
    table[label[big > 0]] = big[big > 0]
    return np.asarray(table[label])
