"""Where a silent run keeps what it infers of the slide at hand: nobody reads it, nothing stays."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsi_ai.core.files import lock_at_once
from wsi_ai.errors import OutputError

_WORK = ".work-"


@contextmanager
def work_folder(trial: Path) -> Iterator[Path]:
    """Nobody else's, and gone at the end; what a killed run has left goes first.

    Raises OutputError where another run is at work.
    """
    try:
        handle = lock_at_once(trial / "running.lock")
    except BlockingIOError:
        raise OutputError("another trial run is at work on this folder") from None
    except OSError as error:
        raise OutputError(f"the trial's folder cannot be written: {error.strerror}") from None
    try:
        for left in trial.glob(f"{_WORK}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=trial) as made:
            yield Path(made)
    finally:
        (trial / "running.lock").unlink()
        os.close(handle)
