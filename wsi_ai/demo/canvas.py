"""The drawn square of one block, as amounts of stain."""

import numpy as np

from wsi_ai.demo.frame import F32, HALO_PX, SIDE_PX, U8, Ints, Mask, u8
from wsi_ai.demo.stain import RED_CELL

MARGIN_PX = HALO_PX + 2  # how far a stamp may stick out of the drawn square


class Canvas:
    """`eosin` and `haem` are stain codes, `free` the pixels outside every crypt, nest, fat cell."""

    def __init__(self) -> None:
        side = SIDE_PX + 2 * MARGIN_PX
        self._padded = np.zeros((side, side), np.uint8)
        self.haem: U8 = self._padded[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
        self.eosin: U8 = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        self.free: Mask = np.ones((SIDE_PX, SIDE_PX), np.bool_)

    def paint(self, where: Mask, eosin: U8, haem: U8) -> None:
        np.copyto(self.eosin, eosin, where=where)
        np.copyto(self.haem, haem, where=where)

    def scale(self, thick: F32) -> None:
        """Thicker tissue takes more stain; blood keeps its codes."""
        np.copyto(self.eosin, u8(self.eosin * thick), where=self.eosin < RED_CELL)
        self.haem[:] = u8(self.haem * thick)

    def stamp(self, bank: list[U8], ids: Ints, x: Ints, y: Ints) -> None:
        """Put stamps down with their middles at x, y; where two overlap the darker one stays."""
        for cx, cy, k in zip(x.tolist(), y.tolist(), ids.tolist(), strict=True):
            stamp = bank[k]
            rows, columns = stamp.shape
            top, left = cy + MARGIN_PX - rows // 2, cx + MARGIN_PX - columns // 2
            under = self._padded[top : top + rows, left : left + columns]
            np.maximum(under, stamp, out=under)
