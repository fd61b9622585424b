"""What has been inferred so far, kept on disk batch by batch, so that a killed run goes on.

The file: a header of 32 bytes (SHA-256 of what the run was asked), then records.  A record is four
little-endian uint32 (number, tiles, classes, CRC-32 of all else), the tiles' positions as int64
and their scores as float32.  A record that is cut short or does not match its CRC ends the file.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from wsi_ai.errors import OutputError
from wsi_ai.values import Predictions

_HEAD = struct.Struct("<4I")
_MOST_CLASSES = 1 << 16


class Journal:
    """The predictions of one slide by one model.  One process at a time may open it.

    ``question`` is a SHA-256 in hex over everything that the predictions depend on: a journal of
    another question is thrown away.  Raises OutputError where the disk refuses.
    """

    def __init__(self, path: Path, question: str, slide_id: str, batch_size: int) -> None:
        self._slide_id, self._batch_size = slide_id, batch_size
        self._kept: list[Predictions] = []
        try:
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise OutputError(f"results cannot be written: {error.strerror}") from None
        self._recover(bytes.fromhex(question))

    @property
    def done(self) -> int:
        """Tiles of the plan that have passed: where to go on reading.  A whole number of
        batches, or all."""
        return self._done

    def keep(self, predictions: Iterable[Predictions]) -> Iterator[Predictions]:
        """First what an earlier run left, then what comes, each written before it is passed on."""
        yield from self._kept
        for batch in predictions:
            self._append(batch)
            yield batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._file.close()

    def _recover(self, question: bytes) -> None:
        self._file.seek(0)
        start = len(question)
        if self._file.read(start) == question:
            self._kept.extend(self._records())
        else:
            self._file.truncate(0)
            self._write(question)
        self._file.truncate(start + sum(_size(record) for record in self._kept))
        self._done = len(self._kept) * self._batch_size

    def _records(self) -> Iterator[Predictions]:
        """The intact records, up to the first that is not."""
        expected = 0
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            number, tiles, classes, crc = _HEAD.unpack(head)
            if number != expected or tiles > self._batch_size or classes > _MOST_CLASSES:
                return
            body = self._file.read(tiles * (8 + 4 * classes))
            if zlib.crc32(head[:-4] + body) != crc:
                return
            index = np.frombuffer(body, "<i8", tiles).astype(np.int64)
            scores = np.frombuffer(body, "<f4", offset=8 * tiles).reshape(tiles, classes)
            yield Predictions(self._slide_id, index, scores.astype(np.float32))
            expected += 1

    def _append(self, batch: Predictions) -> None:
        body = batch.index.astype("<i8").tobytes() + batch.scores.astype("<f4").tobytes()
        head = struct.pack("<3I", self._count(), *batch.scores.shape)
        self._write(head + struct.pack("<I", zlib.crc32(head + body)) + body)

    def _count(self) -> int:
        number = self._done // self._batch_size
        self._done += self._batch_size
        return number

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise OutputError(f"results cannot be written: {error.strerror}") from None


def _size(record: Predictions) -> int:
    return _HEAD.size + 8 * len(record.index) + 4 * record.scores.size
