"""A slide without a file and a model without weights."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, ModelRef, OperatingPoint, TileSpec
from wsi_ai.core.geometry import Box, Size, Spacing
from wsi_ai.core.values import Predictions, SlideInfo, TileBatch
from wsi_ai.errors import TileUnreadable

MEAN_CARD = ModelCard(
    ref=ModelRef("mean", "1", "0" * 64),
    tile=TileSpec(64, 0.5, 64),
    classes=("red",),
    point=OperatingPoint("red", 0.5, "tests", "nothing"),
    manifest_sha256="0" * 64,
)

Paint = Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[np.int64], ...]]
"""Level-0 columns and rows of pixels to their red, green and blue, 0 to 255."""


def grid_paint(
    x: NDArray[np.int64], y: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Red is the row and green the column of a 64-pixel grid."""
    return y // 64 % 256, x // 64 % 256, np.zeros_like(x)


@dataclass(slots=True)
class PaintedSlide:
    """A slide whose pixels are a function of their place, however they are read.

    ``broken`` boxes cannot be read: reading any part of one raises TileUnreadable.
    """

    size: Size = field(default_factory=lambda: Size(1024, 768))
    spacing: Spacing | None = field(default_factory=lambda: Spacing(0.5, 0.5))
    downsamples: tuple[float, ...] = (1.0, 4.0)
    paint: Paint = grid_paint
    broken: tuple[Box, ...] = ()
    info: SlideInfo = field(init=False)

    def __post_init__(self) -> None:
        fingerprint = "f00d" * 16
        self.info = SlideInfo("painted", self.size, self.spacing, self.downsamples, fingerprint)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See ``contracts.Slide.read``; a coarse pixel is the level-0 pixel at its corner."""
        down = self.downsamples[level]
        asked = Box(x, y, round(width * down), round(height * down))
        if any(_overlap(asked, box) for box in self.broken):
            raise TileUnreadable("painted as broken")
        xs = x + (np.arange(width) * down).astype(np.int64)
        ys = y + (np.arange(height) * down).astype(np.int64)
        grid_x, grid_y = np.meshgrid(xs, ys)
        pixels = np.stack(self.paint(grid_x, grid_y), axis=-1).astype(np.uint8)
        inside = (grid_x >= 0) & (grid_x < self.size.width) & (grid_y >= 0)
        pixels[~(inside & (grid_y < self.size.height))] = 255
        return pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None


class MeanRuntime:
    """Scores a tile by the mean of its red channel."""

    card = MEAN_CARD
    batch_size = 16
    description = "mean of red/host"

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """See ``contracts.Runtime.predict``."""
        for batch in batches:
            red = np.asarray(np.from_dlpack(batch.pixels))[..., 0]
            scores = (
                (red.sum(axis=(1, 2), dtype=np.int64) / (255 * red[0].size)) if len(red) else []
            )
            yield Predictions(
                batch.slide_id, batch.index, np.asarray(scores, np.float32).reshape(-1, 1)
            )


def _overlap(a: Box, b: Box) -> bool:
    apart_x = a.x + a.width <= b.x or b.x + b.width <= a.x
    apart_y = a.y + a.height <= b.y or b.y + b.height <= a.y
    return not (apart_x or apart_y)
