"""Stored tiles that wait for a later batch."""

import threading

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.codecs import decode_buffer
from wsi_ai.tiles.reading.progress import WalkEnded

Image = NDArray[np.uint8]
Giver = tuple[int, int]
"""An assembler and one of its jobs."""


class Seams:
    """Buffers change hands here, and have one owner at any time.

    Giving is final: the job that gives a buffer away has made all its copies and asks for another
    one.  Used buffers are kept for the next: fresh memory costs page faults.
    """

    def __init__(self, tile: Size) -> None:
        self._tile = tile
        self._waiting: dict[Giver, Image | TileUnreadable] = {}
        self._spare: list[Image] = []
        self._stopped = False
        self._changed = threading.Condition()

    def give(self, giver: Giver, pixels: Image | TileUnreadable) -> None:
        with self._changed:
            self._waiting[giver] = pixels
            self._changed.notify_all()

    def take(self, giver: Giver) -> Image | TileUnreadable:
        """Waits until it is given.  Raises WalkEnded."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or giver in self._waiting)
            if self._stopped:
                raise WalkEnded
            return self._waiting.pop(giver)

    def spare(self) -> Image:
        """A buffer to decode into; its content is undefined."""
        with self._changed:
            return self._spare.pop() if self._spare else decode_buffer(self._tile)

    def recycle(self, buffer: Image) -> None:
        with self._changed:
            self._spare.append(buffer)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
