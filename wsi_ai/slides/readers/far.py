"""Levels whose bytes lie far away: many tiles are asked for at once."""

from collections.abc import Sequence
from typing import Protocol

from wsi_ai.core.contracts import EncodedLevel
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.readers.source import Bytes, Span


class SpannedLevel(EncodedLevel, Protocol):
    """A level that can say where a tile lies, apart from reading it."""

    def spans(self, col: int, row: int) -> tuple[Span, ...] | None:
        """The pieces of one tile; ``None`` where nothing was scanned.  Raises TileUnreadable."""
        ...

    def whole(self, col: int, row: int, parts: Sequence[bytes]) -> bytes:
        """The tile, complete in itself, of what was read there.  Raises TileUnreadable."""
        ...


class FarLevel:
    """See ``contracts.LevelInBlocks``."""

    def __init__(self, level: SpannedLevel, source: Bytes) -> None:
        self.size, self.corner, self.encoding = level.size, level.corner, level.encoding
        self.encoded = level.encoded
        self._level, self._source = level, source

    def encoded_many(self, tiles: Sequence[tuple[int, int]]) -> list[bytes | TileUnreadable | None]:
        """See ``contracts.LevelInBlocks.encoded_many``."""
        places = [self._spans(*tile) for tile in tiles]
        wanted = [span for spans in places if isinstance(spans, tuple) for span in spans]
        read = iter(self._source.read_many(wanted))
        return [
            self._whole(tile, [next(read) for _ in spans]) if isinstance(spans, tuple) else spans
            for tile, spans in zip(tiles, places, strict=True)
        ]

    def _spans(self, col: int, row: int) -> tuple[Span, ...] | TileUnreadable | None:
        try:
            return self._level.spans(col, row)
        except TileUnreadable as error:
            return error

    def _whole(self, tile: tuple[int, int], parts: list[bytes]) -> bytes | TileUnreadable:
        try:
            return self._level.whole(*tile, parts)
        except TileUnreadable as error:
            return error
