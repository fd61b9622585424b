"""The reading stage in host memory."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ReadLike
from wsi_ai.core.contracts import EncodedLevel, EncodedSlide, LevelInBlocks, Slide
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import TileBatch, TilePlan
from wsi_ai.tiles.reading.ahead import AheadLevel
from wsi_ai.tiles.reading.buffers import BatchBuffers, ScratchBuffers, TileBuffers
from wsi_ai.tiles.reading.colour import finisher
from wsi_ai.tiles.reading.decode_once import Announce, DecodeOnce
from wsi_ai.tiles.reading.reduced import ReducedLevel, reduced_level
from wsi_ai.tiles.reading.regions import RegionTiles
from wsi_ai.tiles.reading.schedule import Placement, Room, reach
from wsi_ai.tiles.reading.shrink import shrinker

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Allocate = Callable[[tuple[int, ...]], Image]
"""Makes a uint8 array of a shape, in the memory from which the runtime wants to be fed."""

_SPARE, _MOST_AHEAD = 3, 32
"""Number of batches besides those that are being filled (the caller's own, and two that wait for
it), and the most that are filled at a time."""
_SEEN_TILES = 8192
"""Number of tiles of the plan from which it is estimated how many batches share stored tiles."""
_LARGEST_READ_PX = 1024
"""Most pixels along one side of a tile, so that the canvases of a few dozen tiles fit into
memory."""


@dataclass(frozen=True, slots=True)
class Memory:
    """How many bytes reading may take for each slide.  With less, it is slower."""

    batches: int = 36 << 20
    """For batches in the making."""
    canvases: int = 64 << 20
    """For tiles before they are shrunk."""
    seams: int = 48 << 20
    """For stored tiles that wait for a later batch."""


@dataclass(frozen=True, slots=True)
class HostTiles:
    """Decodes every stored tile once, with threads, where the slide hands out its stored tiles;
    reads region by region where it does not.

    A tile that will not decode is left out.  ``allocate`` is asked for the batch buffers, at least
    four for each slide.
    """

    batch_size: int
    threads: int
    allocate: Allocate = lambda shape: np.zeros(shape, np.uint8)
    memory: Memory = Memory()
    description = "the processor"

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        """See ``contracts.TileSource``."""
        small = max(plan.read_px.width, plan.read_px.height) <= _LARGEST_READ_PX
        ours = plan.spec.parity is ReadLike.NONE
        if isinstance(slide, EncodedSlide) and small and ours:
            return self._once(slide.encoded_level(plan.level), plan, start)
        return RegionTiles(self.batch_size, self.threads)(slide, plan, start)

    def _once(self, level: EncodedLevel, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        if not isinstance(level, LevelInBlocks):
            yield from self._walk(level, None, plan, start)
            return
        with closing(AheadLevel(level)) as ahead:
            yield from self._walk(ahead, ahead.announce, plan, start)

    def _walk(
        self, level: EncodedLevel, announce: Announce | None, plan: TilePlan, start: int
    ) -> Iterator[TileBatch]:
        seen = reduced_level(level, placement(plan, start, level.corner), plan.spec)
        room = _room(seen, plan.spec.size_px, self.batch_size, self.memory)
        depth, side = room.ahead + _SPARE, plan.spec.size_px
        buffers = [self.allocate((self.batch_size, side, side, 3)) for _ in range(depth)]
        tiles = _tile_buffers(buffers, plan, seen.placement.size)
        walk = DecodeOnce(seen.fetch, seen.grid, seen.placement, room, tiles, announce)
        for turn, lost in enumerate(walk.batches(depth, self.threads)):
            first = start + turn * self.batch_size
            index = np.arange(first, min(first + self.batch_size, len(plan)))
            pixels = buffers[turn % depth][: len(index)]
            for i, error in lost.items():
                log.warning("left out tile %d of %s: %s", start + i, plan.slide.log_name, error)
            if lost:
                kept = ~np.isin(index - start, list(lost))
                index, pixels = index[kept], pixels[kept]
            yield TileBatch(plan.slide.slide_id, index, pixels, read=walk.span())


def _room(seen: ReducedLevel, side: int, batch: int, memory: Memory) -> Room:
    """Number of batches to fill at a time: as many as share stored tiles, and fit into memory; at
    least one.  More would only compete for the processor's cache."""
    tile, read = seen.grid.tile, seen.placement.size
    ahead = memory.batches // (batch * side * side * 3) - _SPARE
    if read != Size(side, side):
        ahead = min(ahead, memory.canvases // (batch * read.width * read.height * 3))
    needed = reach(seen.grid, seen.placement.part(0, _SEEN_TILES), batch)
    ahead = min(ahead, _MOST_AHEAD, needed)
    return Room(batch, max(1, ahead), memory.seams // (tile.width * tile.height * 3))


def placement(plan: TilePlan, start: int, stored: tuple[int, int]) -> Placement:
    """Where the tiles of a plan from ``start`` on lie on its level, to the nearest pixel, counted
    from the corner of what is ``stored``."""
    down = plan.slide.downsamples[plan.level]
    corners = plan.corners(start, len(plan))
    x, y = (np.rint(along / down).astype(np.int64) for along in corners)
    return Placement(x - stored[0], y - stored[1], plan.read_px)


def _tile_buffers(buffers: list[Image], plan: TilePlan, read: Size) -> TileBuffers:
    slots, side = BatchBuffers(buffers, finisher(plan)), plan.spec.size_px
    if read == Size(side, side):
        return slots
    return ScratchBuffers(slots, read, shrinker(read, Size(side, side)))
