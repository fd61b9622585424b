"""Tumour: anastomosing nests with punched-out lumina, crowded with large uneven nuclei."""

import cv2
import numpy as np

from wsi_ai.demo.frame import F32, U8, Floats, Mask, u8, wrap
from wsi_ai.demo.noise import depth, noise, scatter, standard
from wsi_ai.demo.nuclei import Points, Stamps

PERIOD, RIM = 2560, 128
LEVEL_STEP = 1 / 40  # one unit of a stored level, in deviations of the field


class Nests:
    """Wrapped stain codes, nuclei, and `level`: nest is where it exceeds a threshold.

    At threshold 0 half of the area is nest; a higher one leaves smaller, ragged clusters.
    """

    period = PERIOD

    def __init__(self, rng: np.random.Generator, px: float, stamps: Stamps) -> None:
        field = noise(rng, PERIOD, 128 * px) + 0.75 * noise(rng, PERIOD, 64 * px)
        field += 0.42 * noise(rng, PERIOD, 26 * px) + 0.20 * noise(rng, PERIOD, 9 * px)
        field = standard(field)
        self.level = wrap(np.rint(np.clip(field / LEVEL_STEP, -127, 127)).astype(np.int8))
        inside = depth(field > 0, RIM)
        lumen = _lumina(rng, px, inside)
        from_lumen = depth(~lumen, RIM)
        e, h = _cytoplasm(rng, px, lumen, from_lumen)
        self.eosin, self.haem = wrap(e), wrap(h)
        self.nuclei = _crowd(rng, px, stamps, (inside, from_lumen))


def _lumina(rng: np.random.Generator, px: float, inside: F32) -> Mask:
    """Holes of all sizes: slits, ovals, and a few that take up most of a nest."""
    drawn = np.zeros((PERIOD, PERIOD), np.float32)
    shifts = ((0, 0), (PERIOD, 0), (-PERIOD, 0), (0, PERIOD), (0, -PERIOD))
    for cx, cy in zip(*scatter(rng, PERIOD, 44 * px, 0.46), strict=True):
        room = float(inside[int(cy), int(cx)]) - 12 * px
        if room < 3 * px or rng.random() < 0.35:
            continue
        r = min(room, float(np.exp(rng.normal(2.3, 0.65))) * px)
        long, short = r * rng.uniform(0.8, 1.5), r * rng.uniform(0.3, 0.9)
        tilt = rng.uniform(0, 180)
        for dx, dy in shifts:
            centre, axes = (int(cx) + dx, int(cy) + dy), (int(long) + 1, int(short) + 1)
            cv2.ellipse(drawn, centre, axes, tilt, 0, 360, 1.0, -1)
    soft = np.asarray(cv2.GaussianBlur(drawn, (0, 0), 1.8 * px), np.float32)
    soft += 0.17 * noise(rng, PERIOD, 9 * px, 2)
    near = np.asarray(cv2.dilate(drawn, np.ones((9, 9), np.uint8)))
    return np.asarray((soft > 0.5) & (near > 0) & (inside > 8 * px))


def _cytoplasm(rng: np.random.Generator, px: float, lumen: Mask, from_lumen: F32) -> tuple[U8, U8]:
    grain, patch = noise(rng, PERIOD, 1.5 * px), noise(rng, PERIOD, 50 * px)
    apex = np.exp(-from_lumen / np.float32(1.2 * px))
    e = 70 + 6 * grain + 9 * patch + 30 * apex
    h = 34 + 6 * grain + 8 * patch - 10 * apex
    del grain, patch, apex  # a quarter of the memory peak
    dirt = noise(rng, PERIOD, 3 * px, 2)  # necrotic debris in some lumina
    filled = (noise(rng, PERIOD, 70 * px) > 0.4) & (dirt > -0.3)
    e[lumen] = np.where(filled, 78 + 22 * dirt, 0)[lumen]
    h[lumen] = np.where(filled, 26 + 55 * np.clip(dirt - 0.6, 0, 2), 2)[lumen]
    return u8(e), u8(h)


def _crowd(rng: np.random.Generator, px: float, stamps: Stamps, depths: tuple[F32, F32]) -> Points:
    """Nuclei in a row along the nest's edge and along lumina, and packed between."""
    inside, from_lumen = depths
    rows = [
        _along(rng, inside > 5.5 * px, 7.2 * px),
        _along(rng, from_lumen < 10.0 * px, 7.2 * px),
    ]
    spread = np.stack(scatter(rng, PERIOD, 9.8 * px, 0.45)).astype(np.float64)
    x, y = spread.astype(np.int64)
    # the field's outside is filled too: at the invasive edge the threshold may fall below 0
    between = ((inside[y, x] > 12 * px) & (from_lumen[y, x] > 16 * px)) | (inside[y, x] == 0)
    at = np.concatenate([*rows, spread[:, between]], 1)
    x, y = at.astype(np.int64) % PERIOD
    outside = inside[y, x] == 0
    keep = (outside | (inside[y, x] > 3 * px)) & (from_lumen[y, x] > 6.5 * px)
    x, y = x[keep], y[keep]
    near = np.minimum(inside, from_lumen)
    smooth = np.asarray(cv2.GaussianBlur(near, (0, 0), 2 * px), np.float32)
    gx, gy = (np.asarray(cv2.Sobel(smooth, cv2.CV_32F, k, 1 - k))[y, x] for k in (1, 0))
    turn = np.arctan2(gy, gx) + rng.normal(0, 0.25, len(x)) * np.where(near[y, x] > 11 * px, 4, 1)
    stamp = stamps.pick(rng, "tumour", turn)
    dividing = rng.random(len(x)) < 0.012
    stamp = np.where(dividing, stamps.pick(rng, "mitosis", turn), stamp)
    return Points.scattered(rng, PERIOD, np.stack([x, y]).astype(np.float64), stamp)


def _along(rng: np.random.Generator, mask: Mask, step_px: float) -> Floats:
    """x, y of points in a row along the outline of a mask, `step_px` apart."""
    rows = [np.zeros((2, 0))]
    outlines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    for outline in outlines:
        pts = outline[:, 0].astype(np.float64)
        if len(pts) < 3:
            continue
        run = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(pts, axis=0).T))])
        at = np.arange(0, run[-1], step_px)
        at = at + rng.uniform(-0.25, 0.25, len(at)) * step_px
        rows.append(np.stack([np.interp(at, run, pts[:, k]) for k in (0, 1)]))
    xy = np.concatenate(rows, 1)
    # the atlas's own border is no outline
    xy = xy[:, (xy.min(0) > 3) & (xy.max(0) < PERIOD - 4)]
    return np.asarray(xy + rng.normal(0, 0.16 * step_px, xy.shape))
