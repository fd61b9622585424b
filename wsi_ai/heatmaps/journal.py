"""The predictions of a slide so far, kept on disk batch by batch, so that a killed run goes on.

The file: a header of 32 bytes (the site's seal of what the run was asked), then records.  A record
is six little-endian uint32 (number of tiles of the plan that have passed with it; number of tiles
and up to three more axes of their scores, 0 where there is no such axis; CRC-32 of all else), the
tiles' positions as int64, their scores as float32, and the site's seal over all of this and the
seal before it. A record that is cut short, does not match its CRC or is not sealed by this site
ends the file.
"""

import hmac
import math
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from wsi_ai.core.seals import open_file, seal, sealed_with
from wsi_ai.core.values import Predictions
from wsi_ai.errors import disk_errors
from wsi_ai.heatmaps.canvas import Keep

_HEAD = struct.Struct("<6I")
_AXES = 4
_MOST_NUMBERS = 1 << 28
"""The most in a record: a damaged one must not ask for more memory than there is."""


class Journal:
    """The predictions of one slide by one model.  One process at a time may open it.

    ``question`` is a SHA-256 in hex over everything that the predictions depend on: a journal of
    another question is thrown away.  Raises OutputError where the disk refuses.
    """

    def __init__(self, path: Path, question: str, slide_id: str, batch_size: int) -> None:
        self._slide_id, self._batch_size = slide_id, batch_size
        self._key = seal("journal-1", bytes.fromhex(question))
        self._begin = self._last = sealed_with(self._key, "header")
        self._done = 0
        with disk_errors():
            self._file: BinaryIO = _open(path)

    @property
    def done(self) -> int:
        """Number of tiles of the plan that have passed: where to go on reading.  It can exceed the
        plan's length, where the last batch was a short one."""
        return self._done

    def recover(self, replay: Callable[[Predictions], None]) -> None:
        """Hand on what an earlier run left, batch by batch.  Once, before ``append``."""
        self._file.seek(0)
        end = len(self._begin)
        if hmac.compare_digest(self._file.read(end), self._begin):
            for passed, batch in self._records():
                replay(batch)
                end = self._file.tell()
                self._done = passed
        else:
            self._file.truncate(0)
            self._write(self._begin)
        self._file.truncate(end)

    def kept(self) -> Iterator[Predictions]:
        """All that it holds, read from the disk one by one; not while ``append`` is called."""
        self._file.seek(len(self._begin))
        return (batch for _, batch in self._records())

    def append(self, batch: Predictions) -> None:
        """It is handed to the system when this returns."""
        body = batch.index.astype("<i8").tobytes() + batch.scores.astype("<f4").tobytes()
        axes = (*batch.scores.shape, *(0,) * (_AXES - batch.scores.ndim))
        passed = self._done + self._batch_size
        head = struct.pack("<5I", passed, *axes)
        record = head + struct.pack("<I", zlib.crc32(head + body)) + body
        self._last = sealed_with(self._key, "record", self._last, record)
        self._write(record + self._last)
        self._done = passed

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _records(self) -> Iterator[tuple[int, Predictions]]:
        """The intact records, up to the first that is not, each with the number of tiles that have
        passed with it."""
        before, last = 0, self._begin
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            passed, tiles, *axes, crc = _HEAD.unpack(head)
            shape = (tiles, *(axis for axis in axes if axis))
            if passed <= before + max(0, tiles - 1) or math.prod(shape) > _MOST_NUMBERS:
                return
            body = self._file.read(tiles * 8 + math.prod(shape) * 4)
            if zlib.crc32(head[:-4] + body) != crc:
                return
            last = sealed_with(self._key, "record", last, head + body)
            if not hmac.compare_digest(self._file.read(len(last)), last):
                return
            self._last = last
            index = np.frombuffer(body, "<i8", tiles).astype(np.int64)
            scores = np.frombuffer(body, "<f4", offset=8 * tiles).reshape(shape)
            yield passed, Predictions(self._slide_id, index, scores.astype(np.float32))
            before = passed

    def _write(self, data: bytes) -> None:
        with disk_errors():
            self._file.write(data)
            self._file.flush()


def _open(path: Path) -> BinaryIO:
    """What is no file of its own at this place (a link, a pipe) is kept aside."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    try:
        handle = open_file(path, flags)
    except OSError:
        if not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode):
            raise
        path.replace(path.with_name(f"{path.name}.unsealed"))
        handle = open_file(path, flags)
    return os.fdopen(handle, "a+b")


def opened(keep: Keep, slide_id: str, replay: Callable[[Predictions], None]) -> Journal:
    """The journal in the folder of ``keep``, after its content was handed to ``replay``."""
    with disk_errors():
        if keep.folder.is_symlink():
            keep.folder.unlink()
        keep.folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(keep.folder / "journal", keep.question, slide_id, keep.batch_size)
    journal.recover(replay)
    return journal
