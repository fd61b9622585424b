"""One look at a watched folder: what may be a slide, by names, sizes and times alone.

Nothing is opened here, and no link is followed: a look takes as long as listing the folder does.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from wsi_ai.slides.readers.sniff import SUFFIXES

_DICOM = frozenset((".dcm", ""))
_FOLDERS = frozenset((".mrxs",))
"""Slides whose data lie in a folder of the same name."""
_DEEPEST = 32


class Kind(StrEnum):
    FILE = "file"
    DICOM = "dicom"
    """A folder with files that may be instances of a series."""
    ZARR = "zarr"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Unit:
    """What has to be whole before it is a slide: a file, with its folder where it has one, or a
    folder of files."""

    path: Path
    kind: Kind
    size: int
    mtime_ns: int
    files: int

    @property
    def same(self) -> tuple[str, ...]:
        """With these and its path it is the same slide."""
        return f"{self.size}", f"{self.mtime_ns}", f"{self.files}"


@dataclass(frozen=True, slots=True)
class Look:
    """Of a folder.  Raises nothing: what cannot be read is not there."""

    identity: tuple[int, int]
    """Device and number of the folder itself: another one in its place has another."""
    units: tuple[Unit, ...]
    whole: bool
    """Every folder in it could be listed."""


def look_at(folder: Path) -> Look | None:
    """``None`` where the folder is not there or cannot be read."""
    try:
        stat = os.stat(folder)
        walk = _Walk()
        units = tuple(walk.through(folder, 0))
    except (OSError, ValueError):
        return None
    return Look((stat.st_dev, stat.st_ino), units, walk.whole)


@dataclass(slots=True)
class _Sum:
    size: int = 0
    mtime_ns: int = 0
    files: int = 0

    def add(self, stat: os.stat_result) -> None:
        self.size += stat.st_size
        self.mtime_ns = max(self.mtime_ns, stat.st_mtime_ns)
        self.files += 1


@dataclass(slots=True)
class _Walk:
    whole: bool = True
    _sums: dict[Path, _Sum] = field(default_factory=dict)

    def through(self, folder: Path, depth: int) -> Iterator[Unit]:
        """Raises OSError where the folder itself cannot be listed."""
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if not _is_hidden(e.name)), key=lambda e: e.name)
        if any(entry.name in ("zarr.json", ".zgroup") for entry in entries):
            yield from self._summed(folder, Kind.ZARR)
            return
        data = {Path(e.name).stem for e in entries if Path(e.name).suffix.lower() in _FOLDERS}
        instances = _Sum()
        for entry in entries:
            path = folder / entry.name
            if entry.is_symlink():
                yield from self._link(path)
            elif entry.is_dir(follow_symlinks=False):
                if entry.name not in data and depth < _DEEPEST:
                    yield from self._below(path, depth)
            elif entry.is_file(follow_symlinks=False):
                yield from self._file(path, entry, instances)
        if instances.files:
            yield Unit(folder, Kind.DICOM, instances.size, instances.mtime_ns, instances.files)

    def _below(self, folder: Path, depth: int) -> Iterator[Unit]:
        try:
            yield from self.through(folder, depth + 1)
        except OSError:
            self.whole = False

    def _file(self, path: Path, entry: "os.DirEntry[str]", instances: _Sum) -> Iterator[Unit]:
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES | _DICOM:
            return
        try:
            stat = entry.stat(follow_symlinks=False)
        except OSError:
            return  # it is gone again
        if suffix in _DICOM:
            instances.add(stat)
            return
        found = _Sum()
        found.add(stat)
        if suffix in _FOLDERS:
            self._add_all(path.with_suffix(""), found)
        yield Unit(path, Kind.FILE, found.size, found.mtime_ns, found.files)

    def _link(self, path: Path) -> Iterator[Unit]:
        """A link is named and never followed: it could lead out of the folder."""
        if path.suffix.lower() in SUFFIXES:
            yield Unit(path, Kind.LINK, 0, 0, 0)

    def _summed(self, folder: Path, kind: Kind) -> Iterator[Unit]:
        found = _Sum()
        self._add_all(folder, found)
        yield Unit(folder, kind, found.size, found.mtime_ns, found.files)

    def _add_all(self, folder: Path, found: _Sum) -> None:
        for place, _, names in os.walk(folder):
            for name in names:
                try:
                    found.add(os.lstat(os.path.join(place, name)))
                except OSError:
                    continue


def _is_hidden(name: str) -> bool:
    """Of this program, of a system, or of a copy that is not finished."""
    return name.startswith((".", "~")) and name != ".zgroup"
