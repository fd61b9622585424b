"""Colonic crypts: basal nuclei in a row, goblet cells, a lumen; cut across or lengthwise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.demo.frame import F32, U8, Floats, plane, u8, wrap
from wsi_ai.demo.noise import noise, scatter
from wsi_ai.demo.nuclei import Points, Stamps
from wsi_ai.demo.objects import Objects

PERIOD = 2048
LONGEST_PX = 560.0  # a crypt longer than this would meet its own repeat in one block


@dataclass(frozen=True, slots=True)
class Crypt:
    """A capsule, bent and a little wavy; lengths in px, the axis at `turn` radians."""

    cx: float
    cy: float
    half: float
    radius: float
    turn: float
    bend: float
    phase: Floats

    def wave(self, phi: Floats, along: Floats) -> Floats:
        lobes = 0.06 * np.cos(3 * phi + self.phase[0]) + 0.03 * np.cos(5 * phi + self.phase[1])
        return np.asarray(1 + lobes + 0.05 * np.cos(along / (0.7 * self.radius) + self.phase[1]))

    def around(self, share: Floats, depth_px: Floats | float) -> tuple[Floats, Floats, Floats]:
        """u, v and outward direction at a share 0..1 of the outline, `depth_px` inside it."""
        cap, side = np.pi * self.radius, 2 * self.half
        stops = np.cumsum([0, side, cap, side, cap])
        s = (share % 1) * stops[-1]
        quarter = np.pi / 2
        phi = np.interp(s, stops, [-quarter, -quarter, quarter, quarter, 3 * quarter])
        along = np.interp(s, stops, [-self.half, self.half, self.half, -self.half, -self.half])
        r = (self.radius - depth_px) * self.wave(phi, along)
        u = along + r * np.cos(phi)
        return u, r * np.sin(phi) + self.bend * u**2, phi

    def outline_px(self) -> float:
        return 4 * self.half + 2 * np.pi * self.radius


class Crypts:
    """`objects` are the crypts, `nuclei` theirs (`owner` is the crypt's number)."""

    def __init__(
        self, rng: np.random.Generator, px: float, stamps: Stamps, crypts: list[Crypt]
    ) -> None:
        e, h = (np.zeros((PERIOD, PERIOD), np.uint8) for _ in range(2))
        number = np.zeros((PERIOD, PERIOD), np.int16)
        grain = noise(rng, PERIOD, 2 * px)
        rows: list[Floats] = []
        for i, crypt in enumerate(crypts, 1):
            _draw_crypt(rng, px, crypt, i, (e, h, number, grain))
            x, y, angle = _nuclei(rng, px, crypt)
            own = number[y.astype(int) % PERIOD, x.astype(int) % PERIOD] == i
            rows.append(np.stack([x, y, angle, np.full(len(x), i)])[:, own])
        x, y, angle, owner = np.concatenate(rows, 1)
        stamp = stamps.pick(rng, "gland", angle)
        self.nuclei = Points(
            PERIOD,
            x.astype(np.int64) % PERIOD,
            y.astype(np.int64) % PERIOD,
            stamp,
            np.zeros(len(x), np.float32),
            owner.astype(np.int64),
        )
        cx, cy, reach = np.array(
            [(c.cx, c.cy, 0.8 * c.half + c.radius) for c in crypts], np.float32
        ).T
        self.objects = Objects(PERIOD, wrap(e), wrap(h), wrap(number), cx, cy, reach)


def cut_across(rng: np.random.Generator, px: float) -> list[Crypt]:
    """Rosettes, some of them oblique ovals, of mixed size."""
    crypts = []
    for cx, cy in zip(*scatter(rng, PERIOD, 72 * px, 0.24), strict=True):
        radius = rng.uniform(18, 33) * px
        half = radius * (rng.uniform(0.5, 1.1) if rng.random() < 0.2 else rng.uniform(0, 0.35))
        turn, bend = np.pi / 2 + rng.normal(0, 0.7), rng.normal(0, 0.0008) / px
        crypts.append(Crypt(cx, cy, half + 0.01, radius, turn, bend, rng.uniform(0, 6.3, 2)))
    return crypts


def cut_lengthwise(rng: np.random.Generator, px: float) -> list[Crypt]:
    """Test tubes standing side by side, a few rosettes between them."""
    columns = round(PERIOD / (70 * px))
    crypts = []
    for column in range(columns):
        rows = max(2, round(PERIOD / (rng.uniform(210, 300) * px)))
        start, pitch = rng.uniform(0, PERIOD), PERIOD / rows
        for row in range(rows):
            radius = rng.uniform(21, 29) * px
            room = min(pitch / 2, LONGEST_PX) - radius - 5 * px
            half = max(room * rng.uniform(0.35, 1), 0.01)
            cx = (column + rng.uniform(0.36, 0.64)) * PERIOD / columns
            turn, bend = np.pi / 2 + rng.normal(0, 0.07), rng.normal(0, 0.0005) / px
            cy = (start + (row + rng.uniform(-0.04, 0.04)) * pitch) % PERIOD
            crypts.append(Crypt(cx, cy, half, radius, turn, bend, rng.uniform(0, 6.3, 2)))
    return crypts


def _draw_crypt(
    rng: np.random.Generator,
    px: float,
    crypt: Crypt,
    number_of_it: int,
    onto: tuple[U8, U8, NDArray[np.int16], F32],
) -> None:
    """Draw where no earlier crypt is, and enter the number there."""
    e, h, number, grain = onto
    r = int((crypt.half + crypt.radius * 1.3) + 4)
    at = np.ix_(
        (int(crypt.cy) + np.arange(-r, r + 1)) % PERIOD,
        (int(crypt.cx) + np.arange(-r, r + 1)) % PERIOD,
    )
    u, bent = plane(r, crypt.turn)
    v = bent - np.float32(crypt.bend) * u**2
    along = np.clip(u, -crypt.half, crypt.half)
    phi = np.arctan2(v, u - along)
    q = np.hypot(u - along, v) / (crypt.radius * crypt.wave(phi, along))
    g = grain[at]
    amounts = np.stack([66 + 5 * g, 40 + 7 * g])
    _goblets(rng, px, crypt, (u, bent), amounts)
    lumen = np.clip((_lumen(rng, crypt, phi, along) - q) * crypt.radius * 0.8, 0, 1)
    amounts *= 1 - lumen
    amounts[1] += rng.choice([3, 9, 14]) * lumen  # empty, or with mucus
    membrane = np.clip(1 - np.abs(q - 1) * crypt.radius / (1.3 * px), 0, 1)
    amounts[0] += 34 * membrane
    amounts[1] *= 1 - 0.5 * membrane
    mine = (q < 1.03) & (number[at] == 0)
    for whole, part in ((e, u8(amounts[0])), (h, u8(amounts[1]))):
        whole[at] = np.where(mine, part, whole[at])
    number[at] = np.where(mine, number_of_it, number[at])


def _lumen(rng: np.random.Generator, crypt: Crypt, phi: F32, along: F32) -> F32:
    """How far out the lumen reaches, 0..1: a star where round, an uneven slit where long."""
    width = rng.uniform(0.08, 0.28) * (1 + 0.12 * np.cos(6 * phi + crypt.phase[1]))
    step = along / crypt.radius
    for pitch, swing in ((1.6, 0.4), (3.7, 0.3), (7.1, 0.2)):
        width *= 1 + swing * np.cos(pitch * step + rng.uniform(0, 6.3)) * min(1, crypt.half / 40)
    return np.asarray(width, np.float32)


def _goblets(
    rng: np.random.Generator, px: float, crypt: Crypt, at: tuple[F32, F32], amounts: F32
) -> None:
    """Pale drops in a row about half way in, their tips towards the lumen."""
    rich, r = rng.uniform(0.4, 1), at[0].shape[0] // 2
    n = int(crypt.outline_px() * 0.62 / (12.0 * px))
    share = (np.arange(n) + rng.uniform(-0.13, 0.13, n)) / n
    for gu, gv, phi in np.stack(crypt.around(share, crypt.radius * rng.uniform(0.36, 0.46, n))).T:
        if rng.random() > rich:
            continue
        c, s = np.cos(crypt.turn), np.sin(crypt.turn)
        big, pale = rng.uniform(0.75, 1.15) * px, rng.uniform(0.75, 1)
        x, y, reach = int(gu * c - gv * s) + r, int(gu * s + gv * c) + r, int(10 * big) + 2
        near = np.s_[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
        du, dv = at[0][near] - gu, at[1][near] - gv
        out, across = du * np.cos(phi) + dv * np.sin(phi), dv * np.cos(phi) - du * np.sin(phi)
        d = np.hypot(out / (7.4 * big), across / (5.6 * big + 0.12 * out))
        w = np.clip((1 - d) * 4.5 * px, 0, 1) * pale
        amounts[0][near] += (10 - amounts[0][near]) * w
        amounts[1][near] += (17 - amounts[1][near]) * w


def _nuclei(rng: np.random.Generator, px: float, crypt: Crypt) -> tuple[Floats, Floats, Floats]:
    """x, y and direction of the basal nuclei; in some crypts they lie in two rows."""
    n = int(crypt.outline_px() / (rng.uniform(4.4, 5.8) * px))
    share = (np.arange(n) + rng.uniform(-0.25, 0.25, n)) / n
    second = rng.random(n) < rng.choice([0, 0.1, 0.35])
    u, v, phi = crypt.around(share, (4.4 + rng.normal(0, 0.6, n) + 4.5 * second) * px)
    c, s = np.cos(crypt.turn), np.sin(crypt.turn)
    slope = np.arctan(2 * crypt.bend * u)
    return crypt.cx + u * c - v * s, crypt.cy + u * s + v * c, phi + crypt.turn + slope
