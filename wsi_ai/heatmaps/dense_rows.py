"""A dense map on disk, filled from the top: what is written stays, so that a killed run goes on.

Scores are kept as uint8: 0 where not assessed, else 1 + 254 * score, rounded.  So a score is off by
0.002 at most, every viewer opens it, and what was never looked at takes no room.
"""

import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.files import write_whole
from wsi_ai.core.memory import give_back
from wsi_ai.core.seals import opened_file, seal
from wsi_ai.errors import disk_errors
from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.groups import new_group, open_array
from wsi_ai.heatmaps.zarr import create_level
from wsi_ai.schemas.reading import TABLE_BYTES, content_of, from_json

Stored = NDArray[np.uint8]
_STEPS = 254
_HIGH, _WIDE = 256, 4096
"""Number of rows of a shard: no higher than a chunk, so that few rows wait until a row of shards is
full."""


def stored(scores: NDArray[np.float32]) -> Stored:
    """Scores to stored values; NaN is 0."""
    steps = scores * np.float32(_STEPS)
    steps += np.float32(1.5)
    return np.asarray(np.fmax(steps, 0, out=steps), np.uint8)  # fmax passes over NaN


def score_of(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores from stored values that are not 0, or from a mean of such values."""
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
        self._files: dict[str, str] = {}
        with disk_errors():
            if keep.folder.is_symlink():
                keep.folder.unlink()
            self.rows = self._rows_kept()
            if not self.rows:
                shutil.rmtree(keep.folder, ignore_errors=True)
                keep.folder.mkdir(parents=True)
                root = new_group(path)
                create_level(root, 0, shape, np.dtype(np.uint8), 0, (_HIGH, _WIDE))
            self._array = open_array(path / "0", "r+")

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
            write_whole(self._state, json.dumps(self._sealed(end)).encode())
        self.rows, self._held = end, 0
        give_back()  # what lies free between the stored tiles of many rows
        if end == self.shape[1]:
            self._waiting = self._waiting[:, :0].copy()

    def _to_the_disk(self, row_of_shards: int) -> None:
        """Written to the disk, and their digests noted, before the rows are reported as done."""
        written = [*self.path.glob(f"0/c/*/{row_of_shards}/*"), self.path / "0" / "zarr.json"]
        for path in written:
            with opened_file(path, os.O_RDONLY) as handle:
                os.fsync(handle)
            self._files[str(path.relative_to(self.path))] = _digest(path)

    def _planted(self, files: dict[str, str], rows: int) -> bool:
        """Whether there are shards where this site left none."""
        shards = [path for path in self.path.glob("0/c/*/*/*") if path.parent.name.isdecimal()]
        kept = [path for path in shards if int(path.parent.name) * _HIGH < rows]
        return any(str(path.relative_to(self.path)) not in files for path in kept)

    def _sealed(self, rows: int) -> dict[str, Any]:
        state = {"question": self._question, "rows": rows, "files": self._files}
        return {**state, "seal": _seal_of(state)}

    def _rows_kept(self) -> int:
        try:
            state = from_json(content_of(self._state, TABLE_BYTES))
            own = hmac.compare_digest(state.pop("seal"), _seal_of(state))
            if not own or state["question"] != self._question:
                return 0
            if any(_digest(self.path / name) != kept for name, kept in state["files"].items()):
                return 0
            if self._planted(state["files"], state["rows"]):
                return 0
            self._files = state["files"]
            return int(state["rows"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return 0


def _seal_of(state: dict[str, Any]) -> str:
    return seal("rows-1", json.dumps(state, sort_keys=True).encode()).hex()


def _digest(path: Path) -> str:
    with opened_file(path, os.O_RDONLY) as handle, os.fdopen(os.dup(handle), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
