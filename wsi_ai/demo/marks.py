"""What a good slide does not have: ink, folds, dust, and an area out of focus."""

from dataclasses import dataclass

import cv2
import numpy as np

from wsi_ai.demo.frame import (
    BLOCK_PX,
    CELL_PX,
    F16,
    F32,
    HALO_PX,
    I8,
    SIDE_PX,
    U8,
    BlockAt,
    Ints,
    fine,
    kept,
    plane,
    u8,
    window,
)

INKS = {"blue": (38, 62, 178), "green": (22, 128, 92)}
FOLD_SHIFT_PX = 14  # the upper layer of a fold lies so far off the lower one
INK_FRAY_PX = 40


@dataclass(frozen=True, slots=True)
class Ink:
    rgb: tuple[int, int, int]
    inside: F16

    def lies_on(self, at: BlockAt) -> bool:
        return bool(window(self.inside, at).max() > -INK_FRAY_PX)

    def over(self, img: U8, at: BlockAt, mottle: I8) -> U8:
        """The drawn square with the ink on it."""
        cover = np.clip((fine(self.inside, at) + mottle) / 14, 0, 1)
        cover *= np.clip(0.66 + 0.006 * mottle, 0, 1)
        taken = 1 - np.array(self.rgb, np.float32) / 255
        return u8(img * (1 - cover[..., None] * taken))


def nowhere(n: int) -> F16:
    """A map of the plan with nothing on it."""
    return np.full((n, n), np.float16(-9999))


def draw_ink(rng: np.random.Generator, size_px: int, n: int, px: float | None) -> Ink:
    """One stroke of a felt pen across the slide; nothing where `px` is None."""
    rgb = INKS[str(rng.choice(sorted(INKS)))]
    if px is None:
        return Ink(rgb, nowhere(n))
    s = np.linspace(0, 1, 60)
    edge = rng.uniform(0.06, 0.94)
    pts = np.stack([edge + 0.07 * np.sin(4 * s + edge * 9), 0.1 + 0.75 * s], 1)
    pts = pts if rng.random() < 0.5 else pts[:, ::-1]
    line = np.ones((n, n), np.uint8)
    path = np.rint(pts * size_px / CELL_PX).astype(np.int32)
    cv2.polylines(line, [path], False, 0, 1)
    far = np.asarray(cv2.distanceTransform(line, cv2.DIST_L2, 5), np.float32)
    return Ink(rgb, kept(np.float32(0.022 * size_px + 8 * px) - CELL_PX * far))


def draw_blur(rng: np.random.Generator, rough: F32, xy: tuple[F32, F32], size_px: int) -> F16:
    """Where the slide is out of focus: px, positive inside."""
    r = np.float32(0.2 * size_px)
    cx, cy = size_px * rng.uniform(0.3, 0.7), size_px * rng.uniform(0.35, 0.65)
    far = np.hypot(xy[0] - np.float32(cx), xy[1] - np.float32(cy))
    return kept(r - far + np.float32(0.1) * r * rough)


@dataclass(frozen=True, slots=True)
class Fold:
    """Per cell: signed px across the nearest fold, and the fold's half width (<0: none)."""

    across: F16
    half: F16

    def lies_on(self, at: BlockAt) -> bool:
        return bool(window(self.half, at).max() > 0)

    def double(self, stain: U8, at: BlockAt, mottle: I8, most: int) -> None:
        """Where the tissue is folded, add it to itself a little way off, up to code `most`."""
        off = np.abs(fine(self.across, at) + 0.3 * mottle)
        cover = np.clip((fine(self.half, at) - off) / 5, 0, 1)
        upper = np.roll(stain, (FOLD_SHIFT_PX, FOLD_SHIFT_PX // 2), (0, 1))
        both = np.minimum(stain + 0.8 * cover * upper, most)
        np.copyto(stain, both.astype(np.uint8), where=(cover > 0) & (stain < most))


def place_folds(rng: np.random.Generator, xy: tuple[F32, F32], tissue: F32, px: float) -> Fold:
    xx, yy = xy
    across, half = (np.full(xx.shape, np.float32(v)) for v in (9999, -9999))
    rows, columns = np.nonzero(tissue > 150 * px)
    for _ in range(1 + int(rng.poisson(len(rows) / 12_000)) if len(rows) else 0):
        k = rng.integers(0, len(rows))
        i, j = rows[k], columns[k]
        turn, width = rng.uniform(0, np.pi), np.float32(rng.uniform(12, 34) * px)
        length = np.float32(rng.uniform(250, 900) * px)
        dx, dy = xx - xx[i, j], yy - yy[i, j]
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u, v = dx * c + dy * s, dy * c - dx * s
        v = v - np.float32(rng.uniform(-0.25, 0.25)) * u**2 / length
        own = width * (1 - (u / length) ** 2)
        nearer = (np.abs(u) < 1.5 * length) & (np.abs(v) < np.abs(across))
        across, half = np.where(nearer, v, across), np.where(nearer, own, half)
    return Fold(kept(across), kept(half))


class Dust:
    """Specks and fibres lying on the slide: dark, and the same at every visit."""

    def __init__(self, rng: np.random.Generator, size_px: int, px: float) -> None:
        count = int(rng.poisson(6 + (size_px / 4096) ** 2 * 4))
        self.at: Ints = rng.integers(0, size_px, (count, 2))
        self.shapes = [_speck(rng, px) for _ in range(24)]
        self.shape: Ints = rng.integers(0, len(self.shapes), count)
        self.reach = max(max(s.shape) for s in self.shapes) // 2 + 1

    def near(self, at: BlockAt) -> Ints:
        """Indices of the ones that can show in a block."""
        centre = np.array([at.bx, at.by]) * BLOCK_PX + BLOCK_PX // 2
        off = np.abs(self.at - centre).max(1)
        return np.flatnonzero(off < BLOCK_PX // 2 + HALO_PX + self.reach)

    def over(self, img: U8, at: BlockAt) -> None:
        """Darken the drawn square in place."""
        for i in self.near(at).tolist():
            speck = self.shapes[self.shape[i]]
            rows, columns = speck.shape
            x = int(self.at[i, 0]) - at.x0 - columns // 2
            y = int(self.at[i, 1]) - at.y0 - rows // 2
            x0, y0 = max(x, 0), max(y, 0)
            x1, y1 = min(x + columns, SIDE_PX), min(y + rows, SIDE_PX)
            if x0 < x1 and y0 < y1:
                part = speck[y0 - y : y1 - y, x0 - x : x1 - x, None]
                img[y0:y1, x0:x1] = u8(img[y0:y1, x0:x1] * (1 - part))


def _speck(rng: np.random.Generator, px: float) -> F32:
    """How much light a speck takes, 0..0.85: a crumb, or one time in three a bent fibre."""
    long = float(np.exp(rng.normal(1.6, 0.6))) * px
    fibre = rng.random() < 0.33
    long, short = (
        (min(9 * long, 120 * px), 1.2 * px) if fibre else (long, long * rng.uniform(0.4, 1))
    )
    u, v = plane(int(long) + 6, rng.uniform(0, np.pi))
    v = v - np.float32(rng.uniform(-0.4, 0.4) if fibre else 0) * u**2 / np.float32(long)
    theta = np.arctan2(v, u)
    lumpy = 1 + 0.2 * np.cos(3 * theta + rng.uniform(0, 6.3)) + 0.1 * np.cos(7 * theta)
    q = np.maximum(np.abs(u) / long, np.abs(v) / short) if fibre else np.hypot(u / long, v / short)
    body = np.clip((1 - q / (1 if fibre else lumpy)) * short / 2, 0, 1)
    soft = cv2.GaussianBlur(body.astype(np.float32), (0, 0), 1.6 * px)  # above the focal plane
    return np.asarray(soft * rng.uniform(0.4, 0.85), np.float32)
