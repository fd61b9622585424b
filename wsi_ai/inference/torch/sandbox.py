"""A process that may compute and answer, and nothing else, as far as the system allows it: no
network, no file written, bounded memory and time.  Linux."""

import ctypes
import os
import resource
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NO_NEW_PRIVILEGES = 38
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_CHANGES = 0x1FFF & ~(_READ_FILE | _READ_FOLDER)
"""Landlock's rights of its first version (landlock(7)) but to read: to execute, to write, to make
and to remove files and folders of any kind."""
_CPU_S = 120
_ROOM = 1 << 30


def without_network() -> None:
    """From now on, where the system allows it: to be called before there are threads."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        libc.unshare(_CLONE_NEWNET)


def without_files() -> None:
    """From now on the calling thread can write, make, remove and execute none, where the system
    allows that; it reads what it may."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    rights = ctypes.c_uint64(_CHANGES)
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(rights), ctypes.sizeof(rights), 0)
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)


def limit(content_bytes: int) -> None:
    """Memory for what is loaded, and what it is made into; no byte into a file; two minutes."""
    most = {
        resource.RLIMIT_DATA: _held() + _ROOM + 6 * content_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: _CPU_S + content_bytes // (1 << 24),
    }
    for kind, wanted in most.items():
        hard = resource.getrlimit(kind)[1]
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (bound, bound))


def _held() -> int:
    """Bytes of data that the process has already."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
