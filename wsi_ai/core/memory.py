"""Memory that the process holds and does not use: settings of the C library, where it is glibc."""

import ctypes
import gc
import sys
from pathlib import Path

_M_MMAP_THRESHOLD, _LARGE = -3, 1 << 20


def return_large_blocks() -> None:
    """From now on, blocks of 1 MiB and more go back to the system as soon as they are freed.

    Otherwise glibc raises this limit step by step to 32 MiB, and keeps what lies between used
    blocks, for each thread separately.  It affects the whole process: for programs, not for
    libraries.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Return freed memory to the system.  A file of weights is held twice while it is loaded, and
    the C library keeps what was freed of that.  Takes milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def collect() -> None:
    """Free what is held by nothing but itself, and return it to the system.  A template's context
    is such a circle, and holds the pictures of its page.  Takes some hundredths of a second."""
    gc.collect()
    give_back()


def available() -> int:
    """Bytes that the system can give without paging; all that an address can reach where it does
    not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return sys.maxsize
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else sys.maxsize
