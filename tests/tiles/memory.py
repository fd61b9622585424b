"""A slide of stored tiles in memory, uncompressed, some of which are damaged or were never
scanned."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import Codec, Encoding, SlideInfo
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.readers.stored import StoredSlide

Place = tuple[int, int]


@dataclass
class MemoryLevel:
    """``pixels`` is (height, width, 3); counts how often each tile was asked for."""

    pixels: NDArray[np.uint8]
    tile: Size
    damaged: frozenset[Place] = frozenset()
    unscanned: frozenset[Place] = frozenset()
    corner: Place = (0, 0)
    """Where on the slide the first tile begins; the slide is that much larger."""

    def __post_init__(self) -> None:
        self.size = Size(self.pixels.shape[1], self.pixels.shape[0])
        self.encoding = Encoding(Codec.RAW, self.tile)
        self.asked: list[Place] = []

    def encoded(self, col: int, row: int) -> bytes | None:
        self.asked.append((col, row))
        if (col, row) in self.damaged:
            raise TileUnreadable("damaged on purpose")
        if (col, row) in self.unscanned:
            return None
        height, width = self.tile.height, self.tile.width
        tile = np.full((height, width, 3), 7, np.uint8)  # what the rim is padded with
        part = self.pixels[row * height : (row + 1) * height, col * width : (col + 1) * width]
        tile[: part.shape[0], : part.shape[1]] = part
        return tile.tobytes()


def memory_slide(level: MemoryLevel) -> StoredSlide:
    size = Size(level.size.width + level.corner[0], level.size.height + level.corner[1])
    info = SlideInfo("memory", size, Spacing(0.5, 0.5), (1.0,), "beef" * 16)
    return StoredSlide(info, [level], lambda: None)


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
