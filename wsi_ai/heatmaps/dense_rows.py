"""A dense map on disk, filled from the top: what is there lasts, so that a killed run goes on.

Scores are kept as uint8: 0 where not assessed, else 1 + 254 * score, rounded.  So a score is off by
0.002 at most, every viewer opens it, and what was never looked at takes no room.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_ai.core.files import sync, write_whole
from wsi_ai.errors import disk_errors
from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.zarr import create_level

Stored = NDArray[np.uint8]
_STEPS = 254
_HIGH, _WIDE = 256, 4096
"""Of a shard: no higher than a chunk, so that few rows wait until a row of shards is full."""


def stored(scores: NDArray[np.float32]) -> Stored:
    """NaN is 0."""
    steps = scores * np.float32(_STEPS)
    steps += np.float32(1.5)
    return np.asarray(np.fmax(steps, 0, out=steps), np.uint8)  # fmax passes over NaN


def score_of(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a stored value that is not 0, or of a mean of such values."""
    return (steps - 1) / _STEPS


class DenseRows:
    """(classes, height, width), written whole rows of shards at a time.

    Raises OutputError where the disk refuses.
    """

    def __init__(self, path: Path, keep: Keep, shape: tuple[int, int, int]) -> None:
        self.path, self.shape = path, shape
        self._state = keep.folder / "rows.json"
        self._question = keep.question
        self._waiting = np.zeros((shape[0], min(_HIGH, shape[1]), shape[2]), np.uint8)
        self._held = 0
        with disk_errors():
            self.rows = self._rows_kept()
            if not self.rows:
                shutil.rmtree(keep.folder, ignore_errors=True)
                keep.folder.mkdir(parents=True)
                root = zarr.open_group(path, mode="w-", zarr_format=3)
                create_level(root, 0, shape, np.dtype(np.uint8), 0, (_HIGH, _WIDE))
            self._array = zarr.open_array(path / "0", mode="r+")

    def append(self, rows: Stored) -> None:
        """The next (classes, rows, width)."""
        taken, room = 0, self._waiting.shape[1]
        while taken < rows.shape[1]:
            part = rows[:, taken : taken + room - self._held]
            self._waiting[:, self._held : self._held + part.shape[1]] = part
            self._held += part.shape[1]
            taken += part.shape[1]
            if self._held == room or self.rows + self._held == self.shape[1]:
                self._flush()

    def bands(self) -> Iterator[Stored]:
        """What is on the disk, in order, a row of shards at a time."""
        for top in range(0, self.rows, _HIGH):
            yield np.asarray(self._array[:, top : min(top + _HIGH, self.rows)], np.uint8)

    def _flush(self) -> None:
        end = self.rows + self._held
        with disk_errors():
            for left in range(0, self.shape[2], _WIDE):  # all at once would be held encoded, too
                part = self._waiting[:, : self._held, left : left + _WIDE]
                self._array[:, self.rows : end, left : left + _WIDE] = part
            self._to_the_disk(self.rows // _HIGH)
            state = json.dumps({"question": self._question, "rows": end})
            write_whole(self._state, state.encode())
        self.rows, self._held = end, 0
        if end == self.shape[1]:
            self._waiting = self._waiting[:, :0].copy()

    def _to_the_disk(self, row_of_shards: int) -> None:
        """Before it is said that they are there."""
        for shard in self.path.glob(f"0/c/*/{row_of_shards}/*"):
            sync(shard)

    def _rows_kept(self) -> int:
        try:
            state = json.loads(self._state.read_text("utf-8"))
            return int(state["rows"]) if state["question"] == self._question else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0
