"""Levels /1, /4 and /16 of a slide drawn block by block, as compressed tiles."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import cv2
import numpy as np

from wsi_ai.demo.frame import BLOCK_PX, U8, BlockAt
from wsi_ai.demo.jpeg import TILE_PX, encode_tiles

DOWNSAMPLES = (4, 16)
PREVIEW_PX = 2200  # the thumbnail is made from a level no wider than this


class Drawing(Protocol):
    """An image that can be drawn block by block, by several threads."""

    def bare(self, at: BlockAt) -> bool: ...

    def block(self, at: BlockAt) -> U8: ...


def level_px(size_px: int, downsample: int) -> int:
    """Width of a level, rounded: so the ratio is as near to `downsample` as pixels allow."""
    return max(1, (size_px + downsample // 2) // downsample)


class Pyramid:
    """Holds one row of blocks and the compressed tiles of the small levels.

    Read `level0` to its end first; then `tiles` and `preview` are complete.
    """

    def __init__(self, drawing: Drawing, size_px: int) -> None:
        self._drawing, self._size_px = drawing, size_px
        self._glass: dict[tuple[int, int], tuple[list[bytes], U8]] = {}
        self._rows: dict[int, list[U8]] = {f: [] for f in DOWNSAMPLES}
        self.tiles: dict[int, list[bytes]] = {f: [] for f in DOWNSAMPLES}
        self._preview_by = next((f for f in DOWNSAMPLES if size_px / f <= PREVIEW_PX), 64)
        self._preview: list[U8] = []

    def level0(self, pool: ThreadPoolExecutor) -> Iterator[list[bytes]]:
        """Tiles of the full size in order, one row of blocks at a time."""
        n, per = -(-self._size_px // BLOCK_PX), -(-self._size_px // TILE_PX)
        ahead = pool.map(self._make, [BlockAt(bx, 0) for bx in range(n)])
        for by in range(n):
            row = list(ahead)
            if by + 1 < n:
                ahead = pool.map(self._make, [BlockAt(bx, by + 1) for bx in range(n)])
            self._shrink(4, np.concatenate([small for _, small in row], 1))
            yield [
                tile
                for half in range(min(2, per - 2 * by))
                for tile in [t for tiles, _ in row for t in tiles[2 * half : 2 * half + 2]][:per]
            ]

    def preview(self) -> U8:
        side = level_px(self._size_px, self._preview_by)
        return np.concatenate(self._preview)[:side]

    def _make(self, at: BlockAt) -> tuple[list[bytes], U8]:
        """A block's four tiles, and the block at a quarter of its size."""
        key = (at.bx % 2, at.by % 2)
        bare = self._drawing.bare(at)
        if bare and key in self._glass:
            return self._glass[key]
        img = self._drawing.block(at)
        done = encode_tiles(img), _quarter(img)
        if bare:
            self._glass[key] = done
        return done

    def _shrink(self, downsample: int, strip: U8) -> None:
        """Take rows of a level; compress full rows of tiles and pass them on to the next."""
        side, rows = level_px(self._size_px, downsample), self._rows.get(downsample)
        if downsample == self._preview_by:
            self._preview.append(strip[:, :side])
        if rows is None:
            return
        rows.append(strip)
        done = TILE_PX * (len(self.tiles[downsample]) // -(-side // TILE_PX))
        held = sum(map(len, rows))
        if held >= TILE_PX or done + held >= side:
            full = np.concatenate(rows)
            rows.clear()
            if side > done:
                self.tiles[downsample] += encode_tiles(full[: side - done, :side])
            self._shrink(4 * downsample, _quarter(full))


def _quarter(img: U8) -> U8:
    h, w = max(1, img.shape[0] // 4), max(1, img.shape[1] // 4)
    small = cv2.resize(img[: 4 * h, : 4 * w], (w, h), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
