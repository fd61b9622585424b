"""Regions of a slide that look up the atlases at different places.

An atlas is about 1 mm wide and a slide may be 50: without this the repeat shows as a weave
at thumbnail scale.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from wsi_ai.demo.frame import CELL_PX, F16, F32, I8, BlockAt, Ints, Mask, kept, spread, window


@dataclass(frozen=True, slots=True)
class Patch:
    """A region's part of one block.

    `x0`, `y0` are where the block's drawn square lies in the region's atlases; `own` are
    its pixels, `inside` how far they lie from the region's border in px.
    """

    region: int
    x0: int
    y0: int
    own: Mask
    inside: F32


@dataclass(frozen=True, slots=True)
class Regions:
    """`label` and `border` (px to the nearest border) per cell; one shift in px per label."""

    label: F16
    border: F16
    shift: Ints

    def patches(self, at: BlockAt, mottle: I8) -> list[Patch]:
        """The regions of a block.  Their pixels cover it once; `mottle` frays the borders."""
        labels, border = window(self.label, at), window(self.border, at)
        here = [int(k) for k in np.unique(labels)]
        # the sign hangs on the label alone: neighbouring blocks must fray a border alike
        fray = [mottle * np.float32(k % 2 * 2 - 1) for k in here]
        fields = np.stack([spread(np.where(labels == k, border, -border)) for k in here]) + fray
        winner = fields.argmax(0)
        return [
            Patch(
                k,
                at.x0 + int(self.shift[k, 0]),
                at.y0 + int(self.shift[k, 1]),
                winner == i,
                fields[i],
            )
            for i, k in enumerate(here)
        ]


def divide(rng: np.random.Generator, n: int, pitch_px: float) -> Regions:
    """Wobbly cells around jittered points, `pitch_px` apart, over a plan of n x n cells."""
    pitch = pitch_px / CELL_PX
    side = int(n / pitch) + 3
    grid = np.mgrid[0:side, 0:side].reshape(2, -1) + rng.uniform(-0.35, 0.35, (2, side * side))
    rim = int(pitch) + 1
    points = np.clip(np.rint((grid - 0.5) * pitch), -rim, n + rim - 1).astype(int) + rim
    seed = np.full((n + 2 * rim, n + 2 * rim), 255, np.uint8)
    seed[points[0], points[1]] = 0
    _, near = cv2.distanceTransformWithLabels(seed, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    yy, xx = np.mgrid[0:n, 0:n].astype(np.float32) + np.float32(rim)
    wobble = [_wobble(rng, n, pitch) for _ in range(2)]
    label = np.asarray(
        cv2.remap(near.astype(np.float32), xx + wobble[0], yy + wobble[1], cv2.INTER_NEAREST),
        np.float32,
    )
    same = np.pad(label, 1, "edge")
    inner = (label == same[1:-1, 2:]) & (label == same[2:, 1:-1])
    inner &= (label == same[1:-1, :-2]) & (label == same[:-2, 1:-1])
    far = np.asarray(
        cv2.distanceTransform(np.pad(inner, 1, "edge").astype(np.uint8), cv2.DIST_L2, 5)
    )
    # without any border on the slide the distance is the largest float
    border = (np.minimum(far[1:-1, 1:-1], 400).astype(np.float32) + np.float32(0.5)) * CELL_PX
    return Regions(kept(label), kept(border), rng.integers(0, 1 << 20, (int(near.max()) + 1, 2)))


def _wobble(rng: np.random.Generator, n: int, pitch: float) -> F32:
    across = int(2.5 * n / pitch) + 4
    coarse = rng.normal(0, 0.10 * pitch, (across, across)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (n, n), interpolation=cv2.INTER_CUBIC), np.float32)
