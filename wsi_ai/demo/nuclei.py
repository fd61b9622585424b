"""Nuclei: drawn once as stamps, then put down by the thousand."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from wsi_ai.demo.frame import F32, HALO_PX, SIDE_PX, U8, Floats, Ints, plane, u8

TURNS, VARIANTS = 16, 12
LARGEST_PX = (HALO_PX - 3) / 1.25  # a stamp must not reach past the rim


@dataclass(frozen=True, slots=True)
class NucleusKind:
    long_um: float
    short_um: float
    darkness: float  # haematoxylin code of an average one
    spread: float  # log-normal deviation of size and darkness
    rough: float
    chromatin: float
    nucleoli: float  # expected number, at most 2


KINDS = {
    "spindle": NucleusKind(5.6, 1.35, 126, 0.20, 0.05, 0.10, 0.0),
    "lymph": NucleusKind(3.1, 2.8, 162, 0.12, 0.04, 0.22, 0.0),
    "gland": NucleusKind(3.8, 2.4, 124, 0.14, 0.05, 0.13, 0.1),
    "tumour": NucleusKind(5.2, 3.4, 114, 0.24, 0.10, 0.18, 0.9),
    "mitosis": NucleusKind(4.6, 1.5, 205, 0.18, 0.30, 0.05, 0.0),
}


class Stamps:
    """Per kind, TURNS orientations of VARIANTS shapes.  A stamp holds haematoxylin codes."""

    def __init__(self, rng: np.random.Generator, px_per_um: float) -> None:
        self.bank: list[U8] = []
        self._first: dict[str, int] = {}
        for name, kind in KINDS.items():
            self._first[name] = len(self.bank)
            for i in range(TURNS * VARIANTS):
                turn = np.pi * (i // VARIANTS + rng.uniform(-0.4, 0.4)) / TURNS
                self.bank.append(_draw_nucleus(rng, kind, turn, px_per_um))

    def pick(self, rng: np.random.Generator, name: str, angle: Floats) -> Ints:
        """A stamp of the kind for every angle (radians)."""
        turn = np.rint(angle / np.pi * TURNS).astype(np.int64) % TURNS
        variant = rng.integers(0, VARIANTS, turn.shape)
        return np.asarray(self._first[name] + turn * VARIANTS + variant, np.int64)


def _draw_nucleus(rng: np.random.Generator, kind: NucleusKind, turn: float, px_per_um: float) -> U8:
    size, stretch, shade = np.exp(rng.normal(0, kind.spread, 3) * (0.7, 1, 1))
    a = min(kind.long_um * size * stretch * px_per_um, LARGEST_PX)
    b = min(kind.short_um * size / stretch**0.5 * px_per_um, LARGEST_PX)
    u, v = plane(int(max(a, b) * 1.25) + 2, turn)
    theta = np.arctan2(v / b, u / a)
    edge = np.ones_like(theta)
    for k in (2, 3, 4):
        edge += kind.rough * rng.normal() / k**0.5 * np.cos(k * theta + rng.uniform(0, 6.3))
    q = np.hypot(u / a, v / b) / np.maximum(edge, 0.4)
    body = np.clip((1 - q) * min(a, b) + 0.5, 0, 1)
    return u8(_chromatin(rng, kind, (u / a, v / b, q), px_per_um) * kind.darkness * shade * body)


def _chromatin(
    rng: np.random.Generator, kind: NucleusKind, at: tuple[F32, F32, F32], px_per_um: float
) -> F32:
    """How dark the nucleus is inside, 1 on average: membrane, grain, nucleoli."""
    u, v, q = at
    blot = 0.55 * px_per_um
    grain = np.asarray(
        cv2.GaussianBlur(rng.standard_normal(q.shape, np.float32), (0, 0), blot), np.float32
    )
    clear = rng.uniform(0.52, 0.85) if kind.nucleoli > 0.5 else 0.78
    value = clear + (1.06 - clear) * np.exp(-(((q - 0.86) / 0.13) ** 2))
    value += kind.chromatin * grain / (grain.std() + 1e-6)
    reach = blot / (kind.long_um * px_per_um)
    for _ in range(rng.binomial(2, kind.nucleoli / 2)):
        cx, cy = rng.uniform(-0.45, 0.45, 2)
        value += 0.6 * np.exp(-((u - cx) ** 2 + (v - cy) ** 2) / (2 * reach**2))
    return np.asarray(value, np.float32)


@dataclass(frozen=True, slots=True)
class Points:
    """Where nuclei lie in one atlas.

    `lot` is a uniform number for thinning: take those below the density wanted.  `owner` is
    the number of the object a nucleus belongs to, 0 for none.
    """

    period: int
    x: Ints
    y: Ints
    stamp: Ints
    lot: F32
    owner: Ints

    @classmethod
    def scattered(cls, rng: np.random.Generator, period: int, at: Floats, stamp: Ints) -> Self:
        """Points at the rows x, y of `at`, with no owner."""
        x, y = at.astype(np.int64) % period
        return cls(period, x, y, stamp, rng.random(len(x), np.float32), np.zeros(len(x), np.int64))

    def near(self, x0: int, y0: int) -> tuple[Ints, Ints, Ints]:
        """Indices of the points in the drawn square, and their x, y within it."""
        x, y = (self.x - x0) % self.period, (self.y - y0) % self.period
        i = np.flatnonzero((x < SIDE_PX) & (y < SIDE_PX))
        return i, x[i], y[i]
