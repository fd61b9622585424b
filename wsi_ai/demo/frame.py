"""The frames a sample slide is drawn in.

A *block* is 512 level-0 pixels square and is drawn with a rim, so that nuclei and blur
cross its border.  The *plan* has one value per 64 px cell and one spare cell at every
side.  An *atlas* repeats without a seam after `period` px.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

U8: TypeAlias = NDArray[np.uint8]
I8: TypeAlias = NDArray[np.int8]
F16: TypeAlias = NDArray[np.float16]
F32: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.floating[Any]]
Mask: TypeAlias = NDArray[np.bool_]

Code = TypeVar("Code", bound=np.generic)

BLOCK_PX = 512
HALO_PX = 32  # covers the largest nucleus, the widest blur and a fold's shift
SIDE_PX = BLOCK_PX + 2 * HALO_PX
CELL_PX = 64
RAGGED_PX = 70.0  # how far a tissue edge may stray from the plan


@dataclass(frozen=True, slots=True)
class BlockAt:
    """Column and row of a block."""

    bx: int
    by: int

    @property
    def x0(self) -> int:
        """Left of the drawn square, rim included, in level-0 px."""
        return self.bx * BLOCK_PX - HALO_PX

    @property
    def y0(self) -> int:
        return self.by * BLOCK_PX - HALO_PX


def cells_across(size_px: int) -> int:
    """Side of the plan of a slide, in cells."""
    return -(-size_px // BLOCK_PX) * (BLOCK_PX // CELL_PX) + 2


def kept(cells: F32) -> F16:
    """A map as the plan keeps it: exact to 0.06 px near a border, rough far away."""
    return np.clip(cells, -30_000, 30_000).astype(np.float16)


def window(plan_map: F16, at: BlockAt) -> F32:
    """The cells that touch a block: 10 x 10."""
    k = BLOCK_PX // CELL_PX
    cells = plan_map[at.by * k : at.by * k + k + 2, at.bx * k : at.bx * k + k + 2]
    return cells.astype(np.float32)


def spread(cells: F32) -> F32:
    """A window of the plan as one value per pixel of the drawn square."""
    side, rim = cells.shape[0] * CELL_PX, CELL_PX - HALO_PX
    full = np.asarray(cv2.resize(cells, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
    return full[rim : rim + SIDE_PX, rim : rim + SIDE_PX]


def fine(plan_map: F16, at: BlockAt) -> F32:
    return spread(window(plan_map, at))


def wrap(atlas: NDArray[Code]) -> NDArray[Code]:
    """The atlas with its beginning repeated, so that every cut is one slice."""
    return np.pad(atlas, ((0, SIDE_PX), (0, SIDE_PX)), "wrap")


def cut(wrapped: NDArray[Code], x0: int, y0: int) -> NDArray[Code]:
    """The drawn square at x0, y0 of a wrapped atlas: a view."""
    period = wrapped.shape[0] - SIDE_PX
    x, y = x0 % period, y0 % period
    return wrapped[y : y + SIDE_PX, x : x + SIDE_PX]


def u8(values: Floats) -> U8:
    return np.clip(values, 0, 255).astype(np.uint8)


def plane(radius_px: int, turn: float) -> tuple[F32, F32]:
    """Coordinates u, v of a square of side 2 radius + 1, u running along `turn` (radians)."""
    yy, xx = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1].astype(np.float32)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    return xx * c + yy * s, yy * c - xx * s
