"""What the process holds and does not use: of the C library's ways, where it is glibc."""

import ctypes
import sys
from pathlib import Path

_M_MMAP_THRESHOLD, _LARGE = -3, 1 << 20


def return_large_blocks() -> None:
    """From now on, blocks of 1 MiB and more are the system's again as soon as they are freed.

    By itself glibc raises this limit to 32 MiB by and by, and keeps what lies between blocks in
    use, for each thread anew.  It is the whole process's: for programs, not for libraries.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Return freed memory to the system: a file of weights is held twice while it is loaded, and
    the C library keeps what was freed of that.  Milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def available() -> int:
    """Bytes that the system can give without paging; all that an address can reach where it does
    not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return sys.maxsize
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else sys.maxsize
