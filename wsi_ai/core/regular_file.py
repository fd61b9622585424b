"""Files that other people wrote: only regular ones are opened, and never more is read than agreed.

A pipe would be waited for, and a device read, without an end.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """To be read.  Raises OSError, also where it is a pipe, a device or a folder, or where its name
    is none that a file can have."""
    try:
        before = os.stat(path)  # some devices act when they are opened
        _check(before.st_mode, path)
        file = open(path, "rb", opener=_at_once)  # noqa: SIM115
    except ValueError:
        raise OSError(errno.EINVAL, "no name of a file", path.name) from None
    try:
        _check(os.fstat(file.fileno()).st_mode, path)
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path, at_most: int) -> bytes:
    """The whole content.  Raises OSError, also where it is longer than ``at_most`` bytes."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > at_most:
            raise OSError(errno.EFBIG, f"larger than {at_most} bytes", path.name)
        content = file.read(at_most + 1)
    if len(content) > at_most:  # it grew
        raise OSError(errno.EFBIG, f"larger than {at_most} bytes", path.name)
    return content


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _check(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", path.name)
