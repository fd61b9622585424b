"""A slide's files hashed while they are read already: only who asks for the digest waits for it."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wsi_ai.core.digests import Digest, KnownDigest
from wsi_ai.errors import SlideError
from wsi_ai.slides.readers.fingerprint import (
    DiskLimit,
    FileState,
    Hashed,
    hashed_already,
    hashed_as_read,
    of_parts,
)

_LEAST_BYTES = 16 << 20
"""What is smaller is hashed at once: its digest is there before anybody could use the time."""

_BESIDE: ContextVar[int | None] = ContextVar("beside", default=None)


@contextmanager
def hashed_beside(least_bytes: int = _LEAST_BYTES) -> Iterator[None]:
    """Slides of that many bytes that are opened here are hashed by a thread of their own, until
    they are left."""
    before = _BESIDE.set(least_bytes)
    try:
        yield
    finally:
        _BESIDE.reset(before)


class Limit(Protocol):
    def check(self) -> None:
        """Raises where it is reached."""
        ...


class FileHashes(Protocol):
    """Of all files that a slide is read from."""

    @property
    def digest(self) -> str | Digest: ...

    def of(self, path: Path) -> Hashed:
        """Of one of them.  Waits and raises as the digest does."""
        ...

    def close(self) -> None:
        """Who asks afterwards for what is not known by then gets an error."""
        ...


def hashes_of(files: Mapping[Path, FileState]) -> FileHashes:
    """Of a slide's files, in their order, each with its state before its first byte was read; of
    several, ``of_parts``.  Raises SlideError, where they are hashed at once."""
    limit, least = DiskLimit.from_settings(), _BESIDE.get()
    known = all(hashed_already(path) is not None for path in files)
    if least is not None and not known and sum(state[1] for state in files.values()) >= least:
        return HashedBeside(files, limit)
    return _AtOnce(
        {path: hashed_as_read(path, state, limit.check) for path, state in files.items()}
    )


@dataclass(frozen=True, slots=True)
class _AtOnce:
    """See ``FileHashes``."""

    files: Mapping[Path, Hashed]

    @property
    def digest(self) -> str | Digest:
        known = _digest(self.files)
        return known if len(self.files) > 1 else known.whole()

    def of(self, path: Path) -> Hashed:
        return self.files[path]

    def close(self) -> None:
        """Nothing is under way."""


class HashedBeside:
    """See ``FileHashes``, and ``core.digests.Digest``: it is its own.

    The thread reads each file from its beginning to its end, so that it is in the page cache for
    whoever reads tiles; the interpreter is free while it reads and while it hashes.
    """

    def __init__(self, files: Mapping[Path, FileState], limit: Limit) -> None:
        self._limit, self._closed = limit, threading.Event()
        self._pool = ThreadPoolExecutor(1, "hashing")
        self._files: Future[Mapping[Path, Hashed]] = self._pool.submit(self._hash, dict(files))

    @property
    def digest(self) -> Digest:
        return self

    @property
    def is_known(self) -> bool:
        return self._files.done()

    def whole(self) -> str:
        return _digest(self._files.result()).whole()

    def parts(self) -> tuple[str, ...]:
        return _digest(self._files.result()).parts()

    def touched(self) -> bool:
        return any(known.touched for known in self._files.result().values())

    def of(self, path: Path) -> Hashed:
        return self._files.result()[path]

    def close(self) -> None:
        self._closed.set()
        self._pool.shutdown()

    def _hash(self, files: Mapping[Path, FileState]) -> Mapping[Path, Hashed]:
        return {path: hashed_as_read(path, state, self._go_on) for path, state in files.items()}

    def _go_on(self) -> None:
        if self._closed.is_set():
            raise SlideError("the slide was left before its bytes were hashed; run it again")
        self._limit.check()


def _digest(files: Mapping[Path, Hashed]) -> KnownDigest:
    digests = tuple(known.sha256 for known in files.values())
    return KnownDigest(of_parts(digests), digests)
