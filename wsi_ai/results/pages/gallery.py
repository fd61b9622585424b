"""The strongest places of a heatmap, each as a picture at full resolution."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from wsi_ai.core.cards import Task
from wsi_ai.core.contracts import Slide
from wsi_ai.core.flags import Flag
from wsi_ai.core.geometry import Box, Spacing
from wsi_ai.core.values import Heatmap, Objects
from wsi_ai.errors import SlideError
from wsi_ai.results.overlay_layers import counted
from wsi_ai.results.pages.layers import jpeg
from wsi_ai.results.pages.page import picture

MOST = 12
SIDE_PX = 512
_APART_TILES = 2
_MOST_MARKS = 500
_ROUND_UM = tuple(d * 10.0**e for e in range(-1, 6) for d in (1, 2, 5))


@dataclass(frozen=True, slots=True)
class Place:
    """A cell of a heatmap, in level-0 pixels."""

    left: float
    top: float
    width: float
    height: float
    score: float
    counts: bool
    """It reaches the threshold."""
    counted: int | None = None
    """Number of objects that the flag counts; ``None`` where there are no objects."""

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


@dataclass(frozen=True, slots=True)
class Shape:
    """In hundredths of a picture's side; a point has no extent."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class ScaleBar:
    words: str
    share: float
    """Of the picture's width."""


@dataclass(frozen=True, slots=True)
class Card:
    """One place, ready to be shown."""

    number: int
    place: Place
    picture: Markup | None
    """``None`` where the slide could not be read there."""
    shrunk: float
    """Number of level-0 pixels along one of the picture's."""
    frame: Shape
    objects: tuple[Shape, ...]
    unmarked: int
    """Number of objects in the picture that are not among ``objects``."""
    bar: ScaleBar | None


def strongest(heatmap: Heatmap, flag: Flag) -> list[Place]:
    """The highest cells, the highest first, none closer to another than two tiles: of a nest of
    high cells, one is shown.  Where objects are counted, those with the most; a cell without any
    object is none."""
    numbers = None if heatmap.objects is None else _numbers(heatmap, flag)
    rank = heatmap.known
    rank[np.isnan(rank)] = -1
    if numbers is not None:
        rank = np.where(rank > 0, rank + numbers, np.float32(-1))
    rows, cols = _cells_apart(heatmap)
    found = list[Place]()
    while len(found) < MOST:
        row, col = divmod(int(rank.argmax()), rank.shape[1])
        if rank[row, col] < 0:
            break
        objects = None if numbers is None else int(numbers[row, col])
        highest = float(heatmap.scores[heatmap.shown_layer, row : row + 1][0, col])
        place = _place(heatmap, row, col, highest, flag)
        found.append(replace(place, counted=objects))
        up, left = max(0, row - rows + 1), max(0, col - cols + 1)
        rank[up : row + rows, left : col + cols] = -1
    return found


def _numbers(heatmap: Heatmap, flag: Flag) -> NDArray[np.int64]:
    """(rows, cols): how many objects that count are in each cell."""
    numbers = np.zeros(heatmap.planned.shape, np.int64)
    if heatmap.objects is not None:
        middles = counted(heatmap.objects, flag).middles
        row = (middles[:, 1] / heatmap.step.y).astype(np.int64)
        col = (middles[:, 0] / heatmap.step.x).astype(np.int64)
        last: NDArray[np.int64] = (
            np.array(numbers.shape) - 1
        )  # an object may lie on the slide's very edge
        np.add.at(numbers, (np.clip(row, 0, last[0]), np.clip(col, 0, last[1])), 1)
    return numbers


def _cells_apart(heatmap: Heatmap) -> tuple[int, int]:
    """Rows and columns; where a tile is many cells, what a picture shows counts as a tile."""
    spec, spacing = heatmap.model.tile, heatmap.slide.known_spacing()
    if heatmap.model.task is Task.SEGMENTATION:
        side_x = side_y = float(SIDE_PX)
    else:
        scale = spec.scale(spacing)
        side_x, side_y = spec.size_px * scale.x, spec.size_px * scale.y
    rows, cols = side_y * _APART_TILES / heatmap.step.y, side_x * _APART_TILES / heatmap.step.x
    return max(1, int(np.ceil(rows - 1e-6))), max(1, int(np.ceil(cols - 1e-6)))


def _place(heatmap: Heatmap, row: int, col: int, highest: float, flag: Flag) -> Place:
    """Cut off where the slide ends."""
    step, size = heatmap.step, heatmap.slide.size
    left, top = col * step.x, row * step.y
    return Place(
        left,
        top,
        max(1.0, min(step.x, size.width - left)),
        max(1.0, min(step.y, size.height - top)),
        highest,
        counts=highest >= flag.threshold,
    )


def cards(slide: Slide, places: list[Place], objects: Objects | None) -> Iterator[Card]:
    """Reads the slide once for each place."""
    for number, place in enumerate(places, 1):
        field = _field(slide, place)
        inside = _objects_in(field, objects)
        yield Card(
            number=number,
            place=place,
            picture=_picture(slide, field),
            shrunk=field.width / SIDE_PX,
            frame=_shape(field, place.left, place.top, place.width, place.height),
            objects=tuple(_shape(field, a, b, c - a, d - b) for a, b, c, d in inside[:_MOST_MARKS]),
            unmarked=max(0, len(inside) - _MOST_MARKS),
            bar=scale_bar(slide.info.spacing, field.width, 0.4),
        )


def _field(slide: Slide, place: Place) -> Box:
    """What the picture shows: the cell in its middle as far as the slide goes on around it."""
    side = max(SIDE_PX, round(1.1 * max(place.width, place.height)))
    x, y = place.middle
    whole = slide.info.size
    left = min(max(0, round(x - side / 2)), max(0, whole.width - side))
    top = min(max(0, round(y - side / 2)), max(0, whole.height - side))
    return Box(left, top, side, side)


def _picture(slide: Slide, field: Box) -> Markup | None:
    level = slide.info.level_for(field.width / SIDE_PX)
    side = max(1, round(field.width / slide.info.downsamples[level]))
    try:
        pixels = slide.read(level, field.x, field.y, side, side)
    except (SlideError, OSError):  # whatever became of the slide, its answer stands
        return None
    return picture("jpeg", jpeg(_fitted(pixels)))


def _fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(pixels) == SIDE_PX:
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(pixels, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA))


def _shape(field: Box, left: float, top: float, width: float, height: float) -> Shape:
    per = 100 / field.width
    return Shape(*(round(v * per, 2) for v in (left - field.x, top - field.y, width, height)))


def _objects_in(field: Box, objects: Objects | None) -> list[list[float]]:
    """Left, top, right and bottom of each, those nearest to the middle first."""
    if objects is None:
        return []
    away = np.abs(objects.middles - [field.x + field.width / 2, field.y + field.height / 2])
    away = away.max(axis=1)
    inside = np.flatnonzero(away < field.width / 2)
    boxes: list[list[float]] = objects.boxes[inside[away[inside].argsort(kind="stable")]].tolist()
    return boxes


def scale_bar(spacing: Spacing | None, width_px: float, most: float) -> ScaleBar | None:
    """Of a round length, on a picture that shows so many level-0 pixels; ``None`` where nobody
    knows how large a pixel is."""
    if spacing is None:
        return None
    whole_um = width_px * spacing.x_um
    length = max((um for um in _ROUND_UM if um <= whole_um * most), default=_ROUND_UM[0])
    words = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    return ScaleBar(words, length / whole_um)
