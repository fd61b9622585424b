"""Periodic noise, fibres and scattered points: what the atlases are made of."""

import math

import cv2
import numpy as np

from wsi_ai.demo.frame import F32, Floats, Mask


def noise(rng: np.random.Generator, period: int, feature_px: float, octaves: int = 1) -> F32:
    """Smooth periodic noise, mean 0 and deviation 1, with features about `feature_px` across.

    `period` is a multiple of 512.  White noise blurred by a round kernel on a coarse grid:
    interpolated lattice noise would show its axes in every tumour border.
    """
    out = np.zeros((period, period), np.float32)
    for octave in range(octaves):
        out += np.float32(0.5**octave) * _one_octave(rng, period, feature_px / 2**octave)
    return standard(out)


def _one_octave(rng: np.random.Generator, period: int, feature_px: float) -> F32:
    step = 2 ** int(np.clip(math.floor(math.log2(max(feature_px / 2.5, 1))), 0, 8))
    n, sigma = period // step, max(0.4 * feature_px / step, 0.3)
    rim = math.ceil(4 * sigma) + 2
    grid = np.pad(rng.standard_normal((n, n), np.float32), rim, "wrap")
    grid = np.asarray(cv2.GaussianBlur(grid, (0, 0), sigma), np.float32)
    grid = grid[rim - 2 : n + rim + 2, rim - 2 : n + rim + 2]
    big = np.asarray(
        cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC), np.float32
    )
    return standard(big[2 * step : 2 * step + period, 2 * step : 2 * step + period])


def standard(field: Floats) -> F32:
    centred = field - np.float32(field.mean())
    return np.asarray(centred / np.float32(centred.std() + 1e-6), np.float32)


def fibres(rng: np.random.Generator, angle: F32, width_px: float, doublings: int) -> F32:
    """Noise smeared along `angle` (line integral convolution by doubling steps), deviation 1."""
    p = angle.shape[0]
    img = noise(rng, p, width_px)
    yy, xx = np.mgrid[0:p, 0:p].astype(np.float32)
    vx, vy = np.cos(angle), np.sin(angle)
    for k in range(doublings):
        d = np.float32(0.75 * 2**k)
        ahead = cv2.remap(
            img, xx + d * vx, yy + d * vy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        behind = cv2.remap(
            img, xx - d * vx, yy - d * vy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        img = np.asarray(cv2.addWeighted(ahead, 0.5, behind, 0.5, 0), np.float32)
    return standard(img)


def scatter(
    rng: np.random.Generator, period: int, spacing_px: float, jitter: float = 0.38
) -> tuple[F32, F32]:
    """x, y of points on a jittered, staggered periodic grid."""
    n = 2 * max(1, round(period / spacing_px / 2))
    gy, gx = np.mgrid[0:n, 0:n].astype(np.float32)
    gx += 0.5 * (gy % 2) + rng.uniform(-jitter, jitter, (n, n)).astype(np.float32)
    gy += rng.uniform(-jitter, jitter, (n, n)).astype(np.float32)
    step = period / n
    return (gx.ravel() * step) % period, (gy.ravel() * step) % period


def depth(mask: Mask, rim: int) -> F32:
    """Distance in px from every true pixel of a periodic mask to the nearest false one."""
    wide = np.pad(mask.astype(np.uint8), rim, "wrap")
    far = np.asarray(cv2.distanceTransform(wide, cv2.DIST_L2, 5), np.float32)
    return np.ascontiguousarray(far[rim:-rim, rim:-rim])
