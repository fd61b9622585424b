"""Where things lie on a sample slide: coarse maps, one value per cell of 64 px.

A section of bowel wall from the surface down: mucosa with crypts, submucosa, muscle, fat;
lymphoid follicles; and, if wanted, a tumour that grows from the surface into the wall.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from wsi_ai.demo.frame import CELL_PX, F16, F32, cells_across, kept
from wsi_ai.demo.marks import Fold, Ink, draw_blur, draw_ink, nowhere, place_folds
from wsi_ai.demo.regions import Regions, divide
from wsi_ai.demo.spec import SampleSpec

FAR_PX = np.float32(-9999)


@dataclass(frozen=True, slots=True)
class Plan:
    """Lengths in level-0 px, positive inside; `lymph` is a density 0..1, `thick` about 1.

    `sparse` moves the tumour's threshold, in deviations.  `crypts_near` and `fat_near` are
    the layers grown by as much as one whole object may reach.
    """

    size_px: int
    tissue: F16
    mucosa: F16
    muscle: F16
    fat: F16
    tumour: F16
    lymph: F16
    thick: F16
    sparse: F16
    crypts_near: F16
    fat_near: F16
    regions: Regions
    folds: Fold
    ink: Ink
    blur: F16


@dataclass(frozen=True, slots=True)
class Grid:
    """Cell centres in level-0 px, and smooth random maps over them."""

    size_px: int
    xx: F32
    yy: F32

    def rough(self, rng: np.random.Generator, across: int) -> F32:
        """Deviation about 0.7, `across` features from side to side."""
        coarse = rng.standard_normal((across + 3, across + 3)).astype(np.float32)
        n = self.xx.shape[0]
        return np.asarray(cv2.resize(coarse, (n, n), interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True, slots=True)
class Piece:
    """One strip of bowel wall: `along` and `depth` below the surface in px, per cell."""

    along: F32
    depth: F32
    inside: F32
    half_length: float
    half_width: float
    mucosa_px: float


def lay_out(rng: np.random.Generator, spec: SampleSpec) -> Plan:
    px, size = spec.px_per_um, spec.size_px
    n = cells_across(size)
    yy, xx = ((np.mgrid[0:n, 0:n] - 0.5) * CELL_PX).astype(np.float32)
    grid = Grid(size, xx, yy)
    maps = {k: np.full((n, n), FAR_PX) for k in ("tissue", "mucosa", "muscle", "fat", "tumour")}
    maps["lymph"] = np.zeros((n, n), np.float32)
    wave = 25 * px * grid.rough(rng, max(8, size // 500))
    for i, piece in enumerate(_pieces(rng, grid, px)):
        maps["tissue"] = np.maximum(maps["tissue"], piece.inside + 0.4 * wave)
        _lay_layers(rng, grid, px, (piece, wave), maps)
        _add_follicles(rng, px, piece, maps)
        if spec.tumour and (i == 0 or rng.random() < 0.7):
            _add_tumour(rng, grid, piece, maps)
    maps["tumour"] = np.minimum(maps["tumour"], maps["tissue"])
    _add_reaction(rng, grid, px, maps)
    return Plan(
        size_px=size,
        thick=kept(1 + 0.10 * grid.rough(rng, 9) + 0.05 * grid.rough(rng, 40)),
        sparse=kept(0.45 * grid.rough(rng, max(4, round(size / (900 * px))))),
        crypts_near=_grown(maps["mucosa"], 11),
        fat_near=_grown(maps["fat"], 7),
        regions=divide(rng, n, 2400 * px),
        folds=place_folds(rng, (xx, yy), maps["tissue"], px),
        ink=draw_ink(rng, size, n, px if spec.pen else None),
        blur=draw_blur(rng, grid.rough(rng, 6), (xx, yy), size) if spec.blur else nowhere(n),
        **{name: kept(cells) for name, cells in maps.items()},
    )


def _grown(cells: F32, across: int) -> F16:
    return kept(np.asarray(cv2.dilate(cells, np.ones((across, across), np.uint8)), np.float32))


def _pieces(rng: np.random.Generator, grid: Grid, px: float) -> list[Piece]:
    count = 1 if grid.size_px < 12_000 else int(rng.integers(2, 4))
    wobble = 0.10 * grid.rough(rng, 5) + 0.05 * grid.rough(rng, 14)
    return [_piece(rng, grid, (i, count), wobble, px) for i in range(count)]


def _piece(
    rng: np.random.Generator, grid: Grid, which: tuple[int, int], wobble: F32, px: float
) -> Piece:
    size, (i, count) = grid.size_px, which
    a = 0.44 * size * rng.uniform(0.86, 1)
    b = 0.74 * size / (2 * count) * rng.uniform(0.72, 0.95)
    cx = size * rng.uniform(0.47, 0.53)
    cy = size * ((i + 0.5) / count + rng.uniform(-0.02, 0.02))
    turn = rng.uniform(-0.2, 0.2) if count == 1 else rng.uniform(-0.05, 0.05)
    dx, dy = grid.xx - np.float32(cx), grid.yy - np.float32(cy)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = dx * c + dy * s, dy * c - dx * s
    arch = np.float32(rng.uniform(-0.25, 0.25) * b)
    v = v + arch * ((u / np.float32(a)) ** 2 * 2 - np.float32(0.6)) + wobble * np.float32(b * 1.2)
    profile = np.clip(1 - (np.abs(u) / np.float32(a)) ** 3.5, 0, None) ** (1 / 3.5)
    half = np.float32(b) * profile.astype(np.float32)
    depth = v + half
    ends = (np.float32(a) - np.abs(u)) * np.float32(1.2)
    ends += np.float32(a * 0.5) * (wobble + 0.08 * grid.rough(rng, 11))
    inside = np.minimum(np.minimum(depth, half - v), ends)
    return Piece(u, depth, inside, a, b, min(460 * px, 0.55 * b))


def _lay_layers(
    rng: np.random.Generator,
    grid: Grid,
    px: float,
    where: tuple[Piece, F32],
    maps: dict[str, F32],
) -> None:
    piece, wave = where
    depth, b, mucosa_px = piece.depth, piece.half_width, piece.mucosa_px
    submucosa = mucosa_px + max(min(700 * px, 0.42 * b), 0.15 * b)
    outer = submucosa + 0.72 * b
    lobule = 40 * px * (grid.rough(rng, max(6, grid.size_px // 900)) - 1.5)
    deep = depth > mucosa_px + 90 * px
    inner_muscle = 22 * px - np.abs(depth - mucosa_px - 30 * px + wave)
    layers = {
        "mucosa": mucosa_px - depth + wave,
        "muscle": np.maximum(
            np.minimum(depth - submucosa + wave, outer - depth + wave), inner_muscle
        ),
        "fat": np.maximum(depth - outer + 2.5 * wave, np.where(deep, lobule, FAR_PX)),
    }
    own = piece.inside > -200
    for name, layer in layers.items():
        maps[name] = np.where(own, layer, maps[name]).astype(np.float32)


def _add_follicles(rng: np.random.Generator, px: float, piece: Piece, maps: dict[str, F32]) -> None:
    """Lymphoid follicles below the crypts."""
    for _ in range(max(4, int(piece.half_length / (500 * px)))):
        at = rng.uniform(-0.85, 0.85) * piece.half_length
        r, down = rng.uniform(60, 210) * px, rng.uniform(-160, 220) * px
        across = (piece.along - np.float32(at)) / np.float32(1.3)
        far = np.hypot(across, piece.depth - np.float32(piece.mucosa_px + down))
        density = np.clip(1.6 - 1.2 * far / np.float32(r), 0, 0.97)
        np.maximum(maps["lymph"], density * (piece.inside > -200), out=maps["lymph"])


def _add_tumour(rng: np.random.Generator, grid: Grid, piece: Piece, maps: dict[str, F32]) -> None:
    at = rng.uniform(-0.35, 0.35) * piece.half_length
    r = np.float32(piece.half_width * rng.uniform(0.75, 1.0))
    down = np.float32(piece.mucosa_px * 0.3)
    far = np.hypot((piece.along - np.float32(at)) * 0.8, (piece.depth - down) * 0.85)
    edge = 0.22 * grid.rough(rng, 9) + 0.12 * grid.rough(rng, 24) + 0.05 * grid.rough(rng, 60)
    grown = (r - far + r * edge).astype(np.float32)
    maps["tumour"] = np.where(piece.inside > -200, grown, maps["tumour"])


def _add_reaction(rng: np.random.Generator, grid: Grid, px: float, maps: dict[str, F32]) -> None:
    """Lymphocytes gather along the tumour's edge, in places."""
    near = np.exp(-(((maps["tumour"] + 30 * px) / (70 * px)) ** 2))
    places = np.clip(0.5 * grid.rough(rng, max(10, grid.size_px // 600)), 0, 0.6)
    maps["lymph"] = np.maximum(maps["lymph"], near * places).astype(np.float32)
