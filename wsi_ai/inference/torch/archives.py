"""Archives that PyTorch writes, taken apart by one reader and put together anew.

Two readers of one zip file may see two different things in it: twin names, names that end at a NUL
character, a second directory.  What was looked through here is what PyTorch gets to see, and
nothing else.
"""

import io
import zipfile
import zlib
from pathlib import PurePosixPath

from wsi_ai.errors import ModelError

_GROWS_BY = 64 << 20
"""Bytes by which an archive may grow when it is unpacked: tensors are stored as they are, and what
is packed is a program's text."""
_MEMBERS = 200_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip

Members = dict[PurePosixPath, bytes]
"""By the name inside of the one folder that such an archive has."""


def members_of(name: str, content: bytes) -> Members:
    """Raises ModelError for what no PyTorch has written: refused before anything is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if wrong := _complaint(entries, len(content)):
                raise ModelError(f"{name} does not load: {wrong}")
            return {_inside(entry.filename): archive.read(entry) for entry in entries}
    except _BROKEN:
        raise ModelError(f"{name} does not load: it is no whole archive of PyTorch") from None


def check_archive(name: str, content: bytes) -> None:
    """The same of an archive that stays as it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            wrong = _complaint(archive.infolist(), len(content))
    except (zipfile.BadZipFile, OSError, ValueError):
        wrong = "it is no whole archive of PyTorch"
    if wrong:
        raise ModelError(f"{name} does not load: {wrong}")


def packed(members: Members) -> bytes:
    """An archive of these and nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for inside, content in members.items():
            archive.writestr(f"archive/{inside}", content)
    return buffer.getvalue()


def _complaint(entries: list[zipfile.ZipInfo], size: int) -> str | None:
    names = [entry.filename for entry in entries]
    if len(names) > _MEMBERS or sum(entry.file_size for entry in entries) > size + _GROWS_BY:
        return "unpacked it would be far larger than it is"
    if any(entry.compress_type not in _METHODS or entry.flag_bits & 1 for entry in entries):
        return "it is packed or locked in a way that PyTorch does not use"
    if len({name.casefold() for name in names}) < len(names):
        return "two of its members have one name"
    if any(entry.orig_filename != entry.filename for entry in entries) or not _one_folder(names):
        return "its members have names that PyTorch does not give"
    return None


def _one_folder(names: list[str]) -> bool:
    parts = [PurePosixPath(name).parts for name in names]
    plain = all(name.isprintable() and "\\" not in name for name in names)
    inside = all(len(p) > 1 and ".." not in p and p[0] == parts[0][0] for p in parts)
    return bool(parts) and plain and inside


def _inside(name: str) -> PurePosixPath:
    return PurePosixPath(*PurePosixPath(name).parts[1:])
