"""Copies of slides on the disk: those used last, up to a budget.

A folder for each version of each slide, with a lock: held by all who use the copy, and by one
alone who makes or removes it.
"""

import errno
import fcntl
import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wsi_ai.core.environment import cache_folder, from_environment, positive
from wsi_ai.core.files import write_whole
from wsi_ai.errors import InputError, StagingFull
from wsi_ai.schemas.reading import Unreadable, from_json

_FOLDER, _GIGABYTES, _DEFAULT_GB = "WSI_AI_STAGING", "WSI_AI_STAGING_GB", 100.0
_SPARE_BYTES = 256 << 20
"""Left free on the disk for others."""
_DONE = "complete.json"
_MODE = 0o700


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one slide."""

    folder: Path

    @property
    def files(self) -> Path:
        """Where its copy lies."""
        return self.folder / "slide"

    def digests(self) -> dict[str, str] | None:
        """SHA-256 of each file by its name; ``None`` where the copy is not complete."""
        try:
            said = from_json((self.folder / _DONE).read_bytes().decode())
            return {str(name): str(digest) for name, digest in said["sha256"].items()}
        except (OSError, Unreadable, ValueError, LookupError, TypeError, AttributeError):
            return None

    def complete(self, text: bytes) -> None:
        write_whole(self.folder / _DONE, text)

    def used(self) -> None:
        """Just now: it goes last when room is needed."""
        os.utime(self.folder)

    def incomplete(self) -> None:
        """What is there may be a part of the copy.  Only with the lock to oneself."""
        (self.folder / _DONE).unlink(missing_ok=True)

    def forget(self) -> None:
        """What is there of a copy.  Only with the lock to oneself."""
        self.incomplete()
        shutil.rmtree(self.files, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Lock:
    """On an entry, until it is closed."""

    entry: Entry
    handle: int

    def close(self) -> None:
        os.close(self.handle)


@dataclass(frozen=True, slots=True)
class SlideCache:
    """A folder of entries.  Processes share it."""

    root: Path
    budget_bytes: int

    @classmethod
    def from_settings(cls) -> Self:
        """Raises InputError."""
        root = Path(from_environment(_FOLDER) or cache_folder() / "slides")
        if not root.is_absolute():
            raise InputError(f"{_FOLDER} is to be a whole path")
        return cls(root, int(positive(_GIGABYTES, _DEFAULT_GB) * 1e9))

    def lock(self, name: str, how: int) -> "Lock":
        """The entry's, ``fcntl.LOCK_SH`` or ``LOCK_EX``, with or without ``LOCK_NB``.  Raises
        OSError."""
        entry = Entry(self.root / name)
        while True:
            _private(self.root)
            entry.folder.mkdir(_MODE, exist_ok=True)
            place = entry.folder / "lock"
            lock = Lock(entry, os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            try:
                fcntl.flock(lock.handle, how)
                if os.stat(place).st_ino == os.fstat(lock.handle).st_ino:
                    return lock
                lock.close()
            except FileNotFoundError:  # whoever had it removed the entry
                lock.close()
            except OSError:
                lock.close()
                raise

    def make_room(self, bytes_needed: int, keep: str) -> None:
        """Removes copies that nobody uses, those used longest ago first; ``keep`` stays.  Raises
        StagingFull where that is not enough."""
        sizes = {entry: _size(entry.folder) for entry in self._oldest_first(keep)}
        held = sum(sizes.values())
        for entry, size in sizes.items():
            if self._fits(held, bytes_needed):
                return
            if self._remove(entry):
                held -= size
        if not self._fits(held, bytes_needed):
            raise StagingFull(
                f"the disk for copies of slides has no room for {bytes_needed / 1e9:.3g} GB"
                f" (settings {_FOLDER}, {_GIGABYTES}); make room, and run it again"
            )

    def _fits(self, held: int, needed: int) -> bool:
        free = shutil.disk_usage(self.root).free
        return held + needed <= self.budget_bytes and needed + _SPARE_BYTES <= free

    def _oldest_first(self, keep: str) -> list[Entry]:
        found = [(_used_ns(path), path) for path in self.root.iterdir() if path.name != keep]
        return [Entry(path) for _, path in sorted(found) if path.is_dir()]

    def _remove(self, entry: Entry) -> bool:
        """False where somebody uses it."""
        try:
            with closing(self.lock(entry.folder.name, fcntl.LOCK_EX | fcntl.LOCK_NB)):
                shutil.rmtree(entry.folder, ignore_errors=True)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.ENOENT):
                raise
            return False
        return True


def _private(folder: Path) -> None:
    """Slides are nobody else's to read."""
    folder.mkdir(_MODE, parents=True, exist_ok=True)


def _size(folder: Path) -> int:
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found += Path(place, name).stat().st_size
            except FileNotFoundError:
                continue
    return found


def _used_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
