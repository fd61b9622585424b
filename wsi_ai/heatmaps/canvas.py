"""What becomes of the predictions of one slide: one way for each task of a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wsi_ai.core.values import Heatmap, Marks, Predictions


@dataclass(frozen=True, slots=True)
class Keep:
    """Where a canvas keeps what has been inferred until its slide is done."""

    folder: Path
    """The canvas makes it where it is not there.  It belongs to the canvas alone, and is deleted
    once the slide is done."""
    question: str
    """SHA-256 in hex over everything that the predictions depend on: what was kept under another
    one is deleted."""
    batch_size: int


class Canvas(Protocol):
    """Takes every batch of a plan in order, from ``done`` on.  Used by one thread at a time.

    What a killed run has put is there again when its canvas is opened anew.  All methods raise
    OutputError where the disk refuses.
    """

    @property
    def done(self) -> int:
        """Tiles of the plan that have passed, put or left out: where to go on reading."""
        ...

    def put(self, batch: Predictions) -> None:
        """The next ``batch_size`` tiles of the plan have passed; ``batch`` holds what could be
        read of them.  It is kept when this returns, or will be read again."""
        ...

    def heatmap(self) -> Heatmap:
        """The heatmap as it stands, for the rule: NaN where nothing is known yet.  Scores that are
        known stay as they are while more is put.  It shares memory with the canvas."""
        ...

    def marks(self) -> Marks: ...

    def write(self, folder: Path) -> None:
        """Everything that this task leaves in the folder of results, once all has been put."""
        ...

    def close(self) -> None: ...
