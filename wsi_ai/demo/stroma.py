"""Fibrous ground: loose collagen with clefts, smooth muscle, and pale fine lamina propria."""

import numpy as np

from wsi_ai.demo.frame import F32, I8, RAGGED_PX, U8, Floats, plane, u8, wrap
from wsi_ai.demo.noise import fibres, noise, scatter
from wsi_ai.demo.nuclei import Points, Stamps
from wsi_ai.demo.stain import RED_CELL

LOOSE, MUSCLE, FINE = 0, 1, 2
PERIOD = 2048


class Stroma:
    """`eosin[k]` and `haem[k]` are wrapped atlases of the three grounds.

    `nuclei` is for LOOSE and FINE, `muscle_nuclei` for MUSCLE, `cells` for lymphocytes and
    for surface epithelium (`surface` holds the stamps).  `ragged` and `mottle` are px.
    """

    period = PERIOD

    def __init__(self, rng: np.random.Generator, px: float, stamps: Stamps) -> None:
        wavy = 0.6 + 1.1 * noise(rng, PERIOD, 260 * px) + 0.33 * noise(rng, PERIOD, 26 * px)
        bundle = 0.35 * noise(rng, PERIOD, 160 * px)
        clefts = fibres(rng, wavy, 5.5 * px, 6)
        grounds = [
            _loose(rng, px, wavy, clefts),
            _muscle(rng, px, bundle),
            _fine(rng, px, wavy, clefts),
        ]
        vessels = _draw_vessels(rng, px, [grounds[LOOSE], grounds[FINE]])
        self.eosin = [wrap(g) for g in grounds]
        shares = (0.08, 0.12, 0.26)
        self.haem = [wrap(u8(g * (g < RED_CELL) * k)) for g, k in zip(grounds, shares, strict=True)]
        self.nuclei = _spindles(rng, px, stamps, wavy, 0.25)
        self.muscle_nuclei = _spindles(rng, px, stamps, bundle, 0.12)
        self.vessel_nuclei = Points.scattered(
            rng, PERIOD, vessels[:2], stamps.pick(rng, "spindle", np.asarray(vessels[2]))
        )
        at = np.stack(scatter(rng, PERIOD, 6.4 * px, 0.42))
        turn = rng.uniform(0, np.pi, (at.shape[1],))
        self.cells = Points.scattered(rng, PERIOD, at, stamps.pick(rng, "lymph", turn))
        self.surface = stamps.pick(rng, "gland", 0.2 * turn + 1.3)
        ragged = 26 * noise(rng, PERIOD, 90 * px, 3) + 7 * clefts + 5 * noise(rng, PERIOD, 4 * px)
        self.ragged = wrap(_i8(ragged, RAGGED_PX))
        self.mottle = wrap(_i8(10 * noise(rng, PERIOD, 20 * px, 3), 60))


def _i8(values: F32, limit: float) -> I8:
    return np.rint(np.clip(values, -limit, limit)).astype(np.int8)


def _loose(rng: np.random.Generator, px: float, wavy: F32, clefts: F32) -> U8:
    e = 94 + 14 * fibres(rng, wavy, 1.2 * px, 6) + 17 * fibres(rng, wavy, 4 * px, 6)
    e += 9 * noise(rng, PERIOD, 60 * px)
    return _pink(e * np.clip((clefts + 1.05) * 3.0, 0, 1))


def _muscle(rng: np.random.Generator, px: float, bundle: F32) -> U8:
    e = 101 + 9 * fibres(rng, bundle, 1.3 * px, 6) + 10 * fibres(rng, bundle, 3 * px, 6)
    e += 7 * noise(rng, PERIOD, 120 * px)
    return _pink(e * np.clip((fibres(rng, bundle, 7 * px, 7) + 1.9) * 3.0, 0.1, 1))


def _fine(rng: np.random.Generator, px: float, wavy: F32, clefts: F32) -> U8:
    crinkled = wavy + 0.5 * noise(rng, PERIOD, 16 * px)
    e = 58 + 10 * fibres(rng, crinkled, 1.1 * px, 5) + 12 * noise(rng, PERIOD, 14 * px, 3)
    return _pink(e * np.clip((clefts + 1.8) * 2.5, 0.1, 1))


def _pink(eosin: F32) -> U8:
    return u8(np.clip(eosin, 0, RED_CELL - 20))


def _spindles(
    rng: np.random.Generator, px: float, stamps: Stamps, along: F32, stray: float
) -> Points:
    at = np.stack(scatter(rng, PERIOD, 11.5 * px))
    x, y = at.astype(np.int64)
    turn = along[y, x] + rng.normal(0, stray, len(x))
    return Points.scattered(rng, PERIOD, at, stamps.pick(rng, "spindle", turn))


def _draw_vessels(rng: np.random.Generator, px: float, grounds: list[U8]) -> Floats:
    """Draw small vessels into the grounds; x, y and direction of their endothelial nuclei."""
    rows: list[Floats] = []
    for _ in range(26):
        cx, cy = rng.integers(0, PERIOD, 2)
        a = float(np.exp(rng.normal(2.6, 0.45))) * px
        b, turn = a * rng.uniform(0.35, 0.9), rng.uniform(0, np.pi)
        wall = a * rng.uniform(0.12, 0.4) + 1.5 * px
        r = int(a + wall) + 3
        u, v = plane(r, turn)
        at = np.ix_(np.arange(cy - r, cy + r + 1) % PERIOD, np.arange(cx - r, cx + r + 1) % PERIOD)
        q = (np.hypot(u / a, v / b) - 1) * b  # about the px from the lumen's edge
        inside = _red_cells(rng, px, (u, v), (a, b))
        ring = 96 + 16 * np.sin(q / px * 1.6)
        for ground in grounds:
            around = np.where(q < wall, ring, ground[at].astype(np.float32))
            ground[at] = u8(np.where(q < 0, inside, around))
        t = np.arange(0, 2 * np.pi, 11 * px / a)
        t = t + rng.uniform(-0.2, 0.2, len(t))
        eu, ev = (a + px) * np.cos(t), (b + px) * np.sin(t)
        c, s = np.cos(turn), np.sin(turn)
        along = np.arctan2(b * np.cos(t), -a * np.sin(t)) + turn
        rows.append(np.stack([cx + eu * c - ev * s, cy + eu * s + ev * c, along]))
    return np.concatenate(rows, 1)


def _red_cells(
    rng: np.random.Generator, px: float, at: tuple[F32, F32], axes: tuple[float, float]
) -> F32:
    (u, v), (a, b) = at, axes
    cells = np.zeros(u.shape, np.float32)
    if rng.random() < 0.3:
        return cells
    n = int(a * b / (2.1 * px) ** 2 * rng.uniform(0.25, 0.9))
    for t, s in zip(rng.uniform(0, 6.3, n), np.sqrt(rng.random(n)), strict=True):
        d = np.hypot(u - s * a * np.cos(t), v - s * b * np.sin(t)) / (2.9 * px)
        np.maximum(cells, (d < 1) * (RED_CELL + 30 + 22 * d), out=cells, casting="unsafe")
    return cells
