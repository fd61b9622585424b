"""What a program of ours sets for its whole process, which a library must not."""

import logging

import cv2

from wsi_ai.core.memory import return_large_blocks


def prepare_process() -> None:
    """Called once by each command that reads slides, and by each worker.

    Freed blocks go back to the system.  OpenCV gets one thread: those that read tiles are enough,
    and its own would fight with them.  tifffile's log is silent: what it would print of a damaged
    file names the file, and the slide's own reason says it.  PyTorch's threads are set where it is
    loaded, in ``inference.torch.runtime``: loading it here would cost every command two seconds.
    """
    return_large_blocks()
    cv2.setNumThreads(1)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
