"""What the process holds and does not use."""

import ctypes


def give_back() -> None:
    """Return freed memory to the system: a file of weights is held twice while it is loaded, and
    the C library keeps what was freed of that.  Milliseconds; nothing happens without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
