"""Where a model's tiles are put together: in the batch itself, or on a canvas that is then
shrunk."""

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size
from wsi_ai.tiles.reading.colour import Finish
from wsi_ai.tiles.reading.shrink import Shrink

Image = NDArray[np.uint8]


class TileBuffers(Protocol):
    """Threads share it, each working on another tile, or on another part of the same tile."""

    def place(self, tile: int) -> Image:
        """Where the stored pixels of a tile go; the same place until it is finished or dropped."""
        ...

    def finish(self, tile: int) -> None:
        """All its stored pixels are there."""
        ...

    def drop(self, tile: int) -> None:
        """Some of its stored pixels cannot be read."""
        ...


class BatchBuffers:
    """In the batch buffers themselves, uint8 shaped (tiles, size, size, 3), which are used in
    turn."""

    def __init__(self, buffers: Sequence[Image], finish: Finish | None = None) -> None:
        self._slots: list[Image] = [slot for buffer in buffers for slot in buffer]
        self._finish = finish

    def place(self, tile: int) -> Image:
        return self._slots[tile % len(self._slots)]

    def finish(self, tile: int) -> None:
        if self._finish:
            self._finish(self.place(tile))

    def drop(self, tile: int) -> None:
        """Leaves its slot as it is: the reader of the batch leaves the tile out."""


class ScratchBuffers:
    """On a canvas of its own, until all of it is there; then shrunk into its slot."""

    def __init__(self, slots: BatchBuffers, read: Size, shrink: Shrink) -> None:
        self._slots, self._shrink = slots, shrink
        self._shape = (read.height, read.width, 3)
        self._begun: dict[int, Image] = {}
        self._spare: list[Image] = []
        self._lock = threading.Lock()

    def place(self, tile: int) -> Image:
        with self._lock:
            canvas = self._begun.get(tile)
            if canvas is None:
                canvas = self._spare.pop() if self._spare else np.empty(self._shape, np.uint8)
                self._begun[tile] = canvas
            return canvas

    def finish(self, tile: int) -> None:
        self._shrink(self.place(tile), self._slots.place(tile))
        self._slots.finish(tile)
        self.drop(tile)

    def drop(self, tile: int) -> None:
        with self._lock:
            canvas = self._begun.pop(tile, None)
            if canvas is not None:
                self._spare.append(canvas)
