"""The digest that names a slide's bytes."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Self

from wsi_ai.core.environment import positive
from wsi_ai.core.regular_file import open_regular
from wsi_ai.errors import ShareTooSlow, SlideChanged, SlideError

_SECONDS, _DEFAULT_S = "WSI_AI_DISK_SECONDS", 3600.0
_CHUNK_BYTES = 1 << 20

_MOST_PARTS = 12
"""Of a series with more, it is not tried whether an earlier slide was a part: 4,096 digests."""


FileState = tuple[int, int, int, int]
"""Inode, size, and in ns the times when the content and when anything of the file was last
changed: the second is not set by programs that set the first."""

CHANGED = "the file changed while it was read; run it again"


@dataclass(frozen=True, slots=True)
class DiskLimit:
    """How long a slide's bytes may be waited for; not to be mixed up with what looking at it may
    cost.  A read that never ends is not ended."""

    seconds: float
    started_s: float = field(default_factory=time.monotonic)

    @classmethod
    def from_settings(cls) -> Self:
        """Raises InputError where the setting is no number above zero."""
        return cls(positive(_SECONDS, _DEFAULT_S))

    def check(self) -> None:
        """Raises ShareTooSlow."""
        if time.monotonic() - self.started_s > self.seconds:
            raise ShareTooSlow(
                f"the disk or the share took more than {self.seconds:.4g} s to hand out the slide"
                f" (setting {_SECONDS}); run it again when it is faster"
            )


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file's SHA-256 in hex, and how the file was when it was read for that."""

    sha256: str
    state: FileState
    touched: bool = False
    """Something of the file was changed meanwhile that is neither size nor time of its content: its
    rights, or the content and then its time.  Some file systems say so of every read."""

    def holds_for(self, fd: int) -> bool:
        """Whether these are the bytes behind an open file: as they were, or the same again."""
        return state_of(os.fstat(fd)) == self.state or self.sha256 == _of_open(fd)


_ALREADY: ContextVar[Mapping[Path, Hashed]] = ContextVar("hashed", default=MappingProxyType({}))


def state_of(seen: os.stat_result) -> FileState:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _of_open(fd: int) -> str:
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        return digest_of(file, DiskLimit.from_settings().check)


def digest_of(file: BinaryIO, go_on: Callable[[], None]) -> str:
    """SHA-256 in hex of what is left of it.  ``go_on`` is called now and then; what it raises ends
    it."""
    digest, buffer = hashlib.sha256(), bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    while count := file.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(view[:count])
        go_on()
    return digest.hexdigest()


@contextmanager
def already_hashed(files: Mapping[Path, Hashed]) -> Iterator[None]:
    """While these are opened, they are not hashed again unless they have changed since."""
    before = _ALREADY.set(files)
    try:
        yield
    finally:
        _ALREADY.reset(before)


def fingerprint(path: Path) -> str:
    """SHA-256 of the whole file, in hex.  Raises SlideError where it cannot be read."""
    return hashed(path).sha256


def hashed(path: Path, limit: DiskLimit | None = None) -> Hashed:
    """``limit`` is that of all files of a slide, where it has several.  Raises SlideError where it
    cannot be read, ShareTooSlow where that takes too long."""
    limit = limit or DiskLimit.from_settings()
    with opened(path) as file:
        state = state_of(os.fstat(file.fileno()))
        known = hashed_already(path)
        if known is not None and known.state == state:
            return known
        with _explained():
            return Hashed(digest_of(file, limit.check), state)


def hashed_as_read(path: Path, state: FileState, go_on: Callable[[], None]) -> Hashed:
    """Of a file that is being read: it was in this state before its first byte was.  Raises
    SlideChanged where it is another file then, or was written to; else as ``hashed``."""
    with opened(path) as file, _explained():
        known = hashed_already(path)
        if known is not None and known.state == state == state_of(os.fstat(file.fileno())):
            return known
        sha256, now = digest_of(file, go_on), state_of(os.fstat(file.fileno()))
        if now[:3] != state[:3]:
            raise SlideChanged(CHANGED)
        return Hashed(sha256, now, touched=now != state)


def hashed_already(path: Path) -> Hashed | None:
    """By whoever opens it now."""
    return _ALREADY.get().get(path)


def opened(path: Path) -> BinaryIO:
    """To be read and hashed: a pipe or a device has no end.  Raises SlideError."""
    if os.path.isdir(path):
        raise SlideError("this is a folder; name the slide files in it")
    with _explained():
        return open_regular(path)


@contextmanager
def _explained() -> Iterator[None]:
    """Raises SlideError where a file cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise SlideError("there is no such file") from None
    except PermissionError:
        raise SlideError("the file may not be read; check its permissions") from None
    except OSError as error:
        raise SlideError(f"the file cannot be read: {error.strerror}") from None


def of_parts(digests: Sequence[str]) -> str:
    """Of a slide in several files, by theirs; of one file, its own."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def has_grown(parts: Sequence[str], earlier: str) -> bool:
    """Whether ``earlier`` is the fingerprint of some of these parts: they were the slide before
    the others came."""
    if len(parts) > _MOST_PARTS:
        return False
    fewer = (some for count in range(1, len(parts)) for some in combinations(parts, count))
    return any(of_parts(some) == earlier for some in fewer)
