"""Stored tiles fetched ahead, many at a time, from a level that lies far away."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from wsi_ai.core.contracts import LevelInBlocks
from wsi_ai.errors import TileUnreadable

Place = tuple[int, int]
"""Column and row of a stored tile."""
Fetched = bytes | TileUnreadable | None

BLOCK_TILES, FIRST_TILES, _DEPTH = 256, 64, 4
"""Stored tiles that are asked for at once, and of the first block, so that decoding begins soon;
and how many blocks are on their way, or here and not taken."""


class AheadLevel:
    """See ``contracts.EncodedLevel``.  Tiles come in the order in which they were announced, or
    nearly: what is asked for besides is fetched by itself.

    Of each announced place, one call of ``encoded`` takes the tile away.  Holds four blocks.
    """

    def __init__(self, level: LevelInBlocks) -> None:
        self.size, self.corner, self.encoding = level.size, level.corner, level.encoding
        self._level = level
        self._pool = ThreadPoolExecutor(_DEPTH, "ahead")
        self._lock = threading.Lock()
        self._todo: deque[_Block] = deque()
        self._on_way: deque[_Block] = deque()
        self._blocks: dict[Place, deque[_Block]] = {}

    def announce(self, places: Iterable[Place]) -> None:
        """That these will be asked for, after those that were announced before."""
        with self._lock:
            coming = iter(places)
            size = BLOCK_TILES if self._blocks or self._on_way else min(FIRST_TILES, BLOCK_TILES)
            while some := list(islice(coming, size)):
                size, block = BLOCK_TILES, _Block(some)
                for place in block.places:
                    self._blocks.setdefault(place, deque()).append(block)
                self._todo.append(block)
            self._send()

    def encoded(self, col: int, row: int) -> bytes | None:
        """See ``contracts.EncodedLevel.encoded``.  Raises TransportError."""
        block = self._block_of((col, row))
        if block is None:
            return self._level.encoded(col, row)
        try:
            fetched = block.taken()[col, row]
        finally:
            with self._lock:
                block.left -= 1
                while self._on_way and not self._on_way[0].left:
                    self._on_way.popleft()
                self._send()
        if isinstance(fetched, TileUnreadable):
            raise fetched
        return fetched

    def close(self) -> None:
        with self._lock:
            self._todo.clear()
            self._blocks.clear()
        self._pool.shutdown(cancel_futures=True)

    def _block_of(self, place: Place) -> "_Block | None":
        """The first that has it.  Where that is not on its way yet, its turn has come."""
        with self._lock:
            waiting = self._blocks.get(place)
            if not waiting:
                return None
            block = waiting.popleft()
            if not waiting:
                del self._blocks[place]
            while block.future is None:
                self._send_next()
            return block

    def _send(self) -> None:
        while self._todo and len(self._on_way) < _DEPTH:
            self._send_next()

    def _send_next(self) -> None:
        block = self._todo.popleft()
        block.future = self._pool.submit(self._fetch, block.places)
        self._on_way.append(block)

    def _fetch(self, places: Sequence[Place]) -> dict[Place, Fetched]:
        return dict(zip(places, self._level.encoded_many(places), strict=True))


class _Block:
    """Some places, and what comes of them."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places, self.left = places, len(places)
        self.future: Future[dict[Place, Fetched]] | None = None

    def taken(self) -> dict[Place, Fetched]:
        if self.future is None:
            raise ValueError("a block was not asked for")
        return self.future.result()
