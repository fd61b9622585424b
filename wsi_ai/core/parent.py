"""A process that ends when the one that started it does, however that ends."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wsi_ai.core.environment import taken_from_environment

PARENT_PIPE = "WSI_AI_PARENT_PIPE"
"""Number of a descriptor that is at its end once the parent is gone."""


@contextmanager
def while_we_live() -> Iterator[int]:
    """The descriptor for our children; its other end is closed with this process."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def end_with_parent() -> None:
    """Ask this process to stop (SIGTERM) once its parent is gone, where the parent wants that."""
    number = taken_from_environment(PARENT_PIPE)
    if number is None or not number.isdecimal():
        return

    def wait() -> None:
        try:
            os.read(int(number), 1)
        except OSError:
            return  # it is no descriptor of ours
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
