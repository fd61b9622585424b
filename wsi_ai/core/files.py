"""Files that appear whole or not at all, and locks between processes."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO


def write_whole(path: Path, content: bytes) -> None:
    """Write beside ``path``, sync, rename: after a crash the old content is there, or the new one.

    A file that was there keeps its mode.  Raises OSError, and then leaves what was there.
    """
    with _in_its_place(path) as file:
        file.write(content)
        if path.exists():
            shutil.copymode(path, file.name)


def write_private(path: Path, content: bytes) -> None:
    """The same, for its owner's eyes alone: also while it is written, and whoever might read what
    was there."""
    with _in_its_place(path) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)


@contextmanager
def _in_its_place(path: Path) -> Iterator[BinaryIO]:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """To the disk itself, a file or a folder.  Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(file: BinaryIO | TextIO) -> Iterator[None]:
    """Alone with an open file, among processes that do the same; waits for the others."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def lock_at_once(path: Path) -> int:
    """The handle of a file that this process alone has locked, and may unlink before it closes it.

    Raises BlockingIOError where another process holds it, OSError where the disk refuses.
    """
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Alone with ``path``, which is there only as long as somebody is; waits for the others.
    Raises OSError."""
    handle = _lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        path.unlink()
        os.close(handle)


def _lock(path: Path, how: int) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, how)
        except OSError:
            os.close(handle)
            raise
        if _is_at(path, handle):
            return handle
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """The one before us may have unlinked the file that we opened: then our lock locks nothing."""
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False
