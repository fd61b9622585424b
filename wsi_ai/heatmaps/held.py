"""What is inferred of a slide before it is known where that belongs."""

from collections.abc import Callable
from pathlib import Path

from wsi_ai.core.values import Heatmap, Marks, Predictions
from wsi_ai.heatmaps.canvas import Canvas

_MOST_BYTES = 64 << 20
"""Of predictions in memory: with more, the place is waited for."""


class HeldCanvas:
    """A ``Canvas`` whose place is named by the slide's digest, which may still be on its way.

    Until then nothing is on the disk: what is put is held in memory, and lost with a kill.  It gets
    its place as soon as there is one, and at the latest when it is asked for anything.
    """

    def __init__(
        self,
        is_known: Callable[[], bool],
        place: Callable[[], Canvas],
        batch_size: int,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        """``place`` gives an empty canvas; it waits until ``is_known``."""
        self._is_known, self._place = is_known, place
        self._batch_size, self._most_bytes = batch_size, most_bytes
        self._held = list[Predictions]()
        self._bytes = 0
        self._canvas: Canvas | None = None

    @property
    def is_placed(self) -> bool:
        return self._canvas is not None

    def placed(self) -> Canvas:
        """With all that was put.  Raises what placing it raises."""
        if self._canvas is None:
            self._canvas = self._place()
            for batch in self._held:
                self._canvas.put(batch)
            self._held.clear()
        return self._canvas

    @property
    def done(self) -> int:
        if self._canvas is None:
            return len(self._held) * self._batch_size
        return self._canvas.done

    def put(self, batch: Predictions) -> None:
        if self._canvas is None and not self._is_known() and self._bytes < self._most_bytes:
            index, scores = batch.index.copy(), batch.scores.copy()
            self._held.append(Predictions(batch.slide_id, index, scores))
            self._bytes += index.nbytes + scores.nbytes
            return
        self.placed().put(batch)

    def heatmap(self) -> Heatmap:
        return self.placed().heatmap()

    def marks(self) -> Marks:
        return self.placed().marks()

    def write(self, folder: Path) -> None:
        self.placed().write(folder)

    def close(self) -> None:
        if self._canvas is not None:
            self._canvas.close()


def placed(canvas: Canvas) -> Canvas:
    """The canvas of the model's task."""
    return canvas.placed() if isinstance(canvas, HeldCanvas) else canvas


def is_placed(canvas: Canvas) -> bool:
    return not isinstance(canvas, HeldCanvas) or canvas.is_placed
