"""A slide copied from a store to the disk, by ranges in parallel, and hashed on the way."""

import errno
import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from wsi_ai.core.files import write_whole
from wsi_ai.errors import SlideError, StagingFull, TransportError
from wsi_ai.slides.readers.fingerprint import (
    DiskLimit,
    Hashed,
    already_hashed,
    hashed,
    state_of,
)
from wsi_ai.slides.stores.cache import Entry, Lock, SlideCache
from wsi_ai.slides.stores.objects import Part, SlideObjects
from wsi_ai.slides.stores.ranges import read_span
from wsi_ai.slides.stores.store import Store

_RANGE_BYTES, _AT_ONCE = 16 << 20, 8
"""At most so many ranges are in memory."""
_NOTED_BYTES = 64 << 20
"""After so many, what there is is written through and noted, so that a cut copy goes on there."""


@dataclass(frozen=True, slots=True)
class Copy:
    """On the disk, and nobody removes it until it is closed."""

    path: Path
    files: Mapping[Path, Hashed]
    lock: Lock

    def close(self) -> None:
        self.lock.close()


def staged(store: Store, where: str, objects: SlideObjects, cache: SlideCache) -> Copy:
    """The copy of these very versions; ``where`` the store is.  One process makes it, others wait.

    Raises SlideChanged where an object was replaced meanwhile, StagingFull, TransportError,
    ShareTooSlow.
    """
    name = _name(where, objects)
    fresh: Mapping[Path, Hashed] = {}
    with _local_disk():
        while True:
            lock = cache.lock(name, fcntl.LOCK_SH)
            if (files := _whole(lock.entry, fresh)) is not None:
                lock.entry.used()
                return Copy(lock.entry.files / objects.name, files, lock)
            lock.close()
            with closing(cache.lock(name, fcntl.LOCK_EX)) as alone:
                if _whole(alone.entry, {}) is None:
                    alone.entry.incomplete()
                    cache.make_room(objects.size - _held(alone.entry, objects), name)
                    fresh = _fetch(store, objects, alone.entry)


def _held(entry: Entry, objects: SlideObjects) -> int:
    return sum(_noted(entry.files / part.name) for part in objects.parts)


def _name(where: str, objects: SlideObjects) -> str:
    versions = [
        [part.key, part.name, part.size, part.e_tag, part.changed.isoformat()]
        for part in objects.parts
    ]
    return hashlib.sha256(json.dumps([where, versions]).encode()).hexdigest()[:32]


def _whole(entry: Entry, fresh: Mapping[Path, Hashed]) -> Mapping[Path, Hashed] | None:
    """Each file as it was hashed, where all of them are what was copied."""
    wanted = entry.digests()
    if wanted is None:
        return None
    limit = DiskLimit.from_settings()
    try:
        with already_hashed(fresh):
            files = {entry.files / name: hashed(entry.files / name, limit) for name in wanted}
    except SlideError:
        return None
    right = all(files[entry.files / name].sha256 == digest for name, digest in wanted.items())
    return files if right else None


def _fetch(store: Store, objects: SlideObjects, entry: Entry) -> Mapping[Path, Hashed]:
    limit, found = DiskLimit.from_settings(), dict[str, Hashed]()
    starts = {part: _noted(entry.files / part.name) for part in objects.parts}
    growing: _Growing | None = None
    try:
        for part, data in _arriving(store, starts):
            growing = growing or _Growing.at(entry.files / part.name, starts[part])
            growing.add(data)
            limit.check()
            if growing.size == part.size:
                found[part.name] = growing.end()
                growing = None
                _check_vouched(part, found[part.name], entry)
    finally:
        if growing is not None:
            growing.leave()
    digests = {name: one.sha256 for name, one in found.items()}
    entry.complete(json.dumps({"sha256": digests}).encode())
    return {entry.files / name: one for name, one in found.items()}


def _arriving(store: Store, starts: Mapping[Part, int]) -> Iterator[tuple[Part, bytes]]:
    """What is missing, in order, while the next ranges are on their way."""
    waiting: deque[tuple[Part, Future[bytes]]] = deque()
    with ThreadPoolExecutor(_AT_ONCE, "staging") as pool:
        try:
            for part, start, end in _ranges(starts):
                waiting.append((part, pool.submit(_read, store, part, start, end)))
                if len(waiting) == _AT_ONCE:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read(store: Store, part: Part, start: int, end: int) -> bytes:
    return read_span(store, part, start, end) if start < end else b""


def _next(waiting: deque[tuple[Part, Future[bytes]]]) -> tuple[Part, bytes]:
    part, future = waiting.popleft()
    return part, future.result()


def _ranges(starts: Mapping[Part, int]) -> Iterator[tuple[Part, int, int]]:
    """At least one of each part."""
    for part, begin in starts.items():
        if begin == part.size:
            yield part, begin, begin
        for start in range(begin, part.size, _RANGE_BYTES):
            yield part, start, min(start + _RANGE_BYTES, part.size)


def _check_vouched(part: Part, copy: Hashed, entry: Entry) -> None:
    if part.sha256 and part.sha256 != copy.sha256:
        entry.forget()
        raise TransportError(
            "the object's bytes are not those of its own sha256: upload it again, or put that right"
        )


@dataclass(slots=True)
class _Growing:
    """A file that grows from its beginning."""

    path: Path
    file: BinaryIO = field(repr=False)
    size: int
    noted: int
    digest: "hashlib._Hash" = field(repr=False, default_factory=hashlib.sha256)

    @classmethod
    def at(cls, path: Path, size: int) -> "_Growing":
        """From where an earlier copy of this version was cut off."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("r+b" if size else "w+b")
        file.truncate(size)
        growing = cls(path, file, size, size)
        while data := file.read(_RANGE_BYTES):
            growing.digest.update(data)
        return growing

    def add(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.size += len(data)
        if self.size - self.noted >= _NOTED_BYTES:
            self._take_note()

    def leave(self) -> None:
        """Unfinished; as far as the disk lets it, the next one goes on here."""
        with suppress(OSError), self.file:
            self._take_note()

    def end(self) -> Hashed:
        self._write_through()
        self.file.close()
        _note(self.path).unlink(missing_ok=True)
        return Hashed(self.digest.hexdigest(), state_of(self.path.stat()))

    def _take_note(self) -> None:
        self._write_through()
        write_whole(_note(self.path), str(self.size).encode())
        self.noted = self.size

    def _write_through(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())


def _note(path: Path) -> Path:
    """Says how much of the file is on the disk, for sure."""
    return path.with_name(f".{path.name}.so-far")


def _noted(path: Path) -> int:
    try:
        size = int(_note(path).read_text())
        return size if size <= path.stat().st_size else 0
    except (OSError, ValueError):
        return 0


@contextmanager
def _local_disk() -> Iterator[None]:
    """Raises StagingFull, or TransportError, where the disk for copies refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StagingFull(
                "the disk for copies of slides is full; make room, and run it again"
            ) from None
        raise TransportError(
            f"slides cannot be copied to this disk: {error.strerror}; see WSI_AI_STAGING"
        ) from None
