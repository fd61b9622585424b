"""A painted slide, and runtimes that say of a tile what can be seen on the slide itself."""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.app import NoWatcher
from wsi_ai.core.cards import Form, ModelCard, OutputSpec, Task, TileSpec
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.flags import Flag
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import Predictions, TileBatch, TilePlan
from wsi_ai.heatmaps import Canvas, Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.testing import MEAN_CARD, PaintedSlide
from wsi_ai.tiles.reading import RegionTiles
from wsi_ai.tissue.quality import QualityLimits
from wsi_ai.triage.judge import TriagePolicy

ANY_QUALITY = QualityLimits(focus_min=0, pen_max=1, cast_max=1)


def dense_card(size: int, stride: int, margin: int = 0) -> ModelCard:
    return dataclasses.replace(
        MEAN_CARD,
        task=Task.SEGMENTATION,
        tile=TileSpec(size, 0.5, stride, lead_px=(size - stride) // 2),
        output=OutputSpec(margin_px=margin),
    )


def waves(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Tissue-coloured all over, whose red tells the place."""
    return 60 + (x // 3 + y // 5) % 190, np.full_like(x, 40), np.full_like(x, 60)


@dataclasses.dataclass
class EchoRuntime:
    """Gives back the red of each pixel, 0 to 1."""

    card: ModelCard
    batch_size: int = 4
    description = "echo/host"

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """See ``contracts.Runtime.predict``."""
        for batch in batches:
            red = np.asarray(np.from_dlpack(batch.pixels))[:, None, :, :, 0]
            yield Predictions(batch.slide_id, batch.index, np.float32(red / 255))


def painted(size: Size, **wanted: object) -> PaintedSlide:
    return PaintedSlide(size, Spacing(0.5, 0.5), (1.0, 4.0), waves, **wanted)


def detecting_card(size: int, stride: int, **output: Any) -> ModelCard:
    spec = OutputSpec(**{"form": Form.BOXES_XYXY, "objects": 64, **output})
    return dataclasses.replace(
        MEAN_CARD,
        task=Task.DETECTION,
        tile=TileSpec(size, 0.5, stride, lead_px=(size - stride) // 2),
        output=spec,
    )


def planted(size: Size, boxes: NDArray[np.int64], scores: list[float]) -> PaintedSlide:
    """Objects are what has no red; their blue is the score."""
    x, y = np.meshgrid(np.arange(size.width), np.arange(size.height))
    picture = np.stack(waves(x, y), axis=-1).astype(np.uint8)
    for (left, top, right, bottom), score in zip(boxes, scores, strict=True):
        picture[top:bottom, left:right] = 0, 60, round(score * 255)

    def paint(x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        inside = picture[np.clip(y, 0, size.height - 1), np.clip(x, 0, size.width - 1)]
        return tuple(np.moveaxis(inside.astype(np.int64), -1, 0))

    return PaintedSlide(size, Spacing(0.5, 0.5), (1.0, 4.0), paint)


@dataclasses.dataclass
class BlobRuntime:
    """Finds what has no red, cut off where the tile ends."""

    card: ModelCard
    batch_size: int = 4
    description = "blobs/host"

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """See ``contracts.Runtime.predict``."""
        for batch in batches:
            found = [self._blobs(tile) for tile in np.asarray(np.from_dlpack(batch.pixels))]
            rows = np.zeros((len(found), max([1, *map(len, found)]), 6), np.float32)
            for row, blobs in zip(rows, found, strict=True):
                row[: len(blobs)] = np.reshape(blobs, (-1, 6))
            yield Predictions(batch.slide_id, batch.index, rows)

    def _blobs(self, tile: NDArray[np.uint8]) -> list[list[float]]:
        mask = (tile[..., 0] == 0).astype(np.uint8)
        count, _, stats, middles = cv2.connectedComponentsWithStats(mask, connectivity=4)
        rows = []
        for n in range(1, count):
            x, y, w, h, _ = stats[n].tolist()
            place = [x, y, x + w, y + h]
            if self.card.output.form is Form.POINTS_XY:
                place = [*(middles[n] + 0.5), *(middles[n] + 0.5)]
            rows.append([*place, tile[y, x, 2] / 255, 0])
        return rows


class Killed(Exception):
    """Stands for a kill: nothing is cleared away."""


class KilledAfter(NoWatcher):
    def __init__(self, tiles: int) -> None:
        self.tiles = tiles

    def passed(self, done: int) -> None:
        if done >= self.tiles:
            raise Killed


def assessed(
    slide: PaintedSlide,
    runtime: Runtime,
    kept: Path,
    policy: TriagePolicy | None = None,
    watch: NoWatcher | None = None,
) -> tuple[Assessment, list[Flag]]:
    """The assessment, its results written beside ``kept`` as ``results``, and the early flags."""
    pipeline = Pipeline(
        RegionTiles(runtime.batch_size, 1), runtime, policy or TriagePolicy(), ANY_QUALITY
    )

    def canvas(plan: TilePlan) -> Canvas:
        return open_canvas(plan, runtime.card, Keep(kept, "ab" * 32, runtime.batch_size))

    clock, early = Stopwatch(time.perf_counter()), list[Flag]()
    made = pipeline.prepare(slide, canvas, clock)
    assert not isinstance(made, Assessment), made.flag.reason
    with closing(made.canvas):
        done = pipeline.infer(made, watch or NoWatcher(), clock, early.append)
        results = kept.with_name("results")
        results.mkdir(parents=True)
        made.canvas.write(results)
    return done, early
