"""What an overlay lays upon the slide: scores, classes or objects, what could not be assessed, and
what was not looked at.  Each of these looks different."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from wsi_ai.core.flags import Flag
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Heatmap, Marks, Mask, Objects
from wsi_ai.tissue.thumbnail import Thumbnail

Pixels = NDArray[np.uint8]
Seen = tuple[NDArray[np.intp], ...]
"""Rows and columns of cells, as ``numpy.ix_`` gives them."""
LONG_SIDE = 1290
OUTLINE, REGION, MISSED = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito 2008
CLASS_COLOURS = ("#CC79A7", "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#F0E442")
_PALE, _FULL, _GREY = 64, 166, 178  # opacity, of 255
_STRIPE, _STRIPE_PX = "#111111", 8
_LEAST_OPACITY, _MOST_OPACITY = 0.25, 0.6
_FRACTION = 4
"""Number of fractional bits of a pixel to which lines are drawn."""
MOST_DOTS = 2000
"""Of more objects than this, a dot each would hide the slide and their number."""
_BIN_PX, _BLUR_BINS, _FAINT = 6, 5, 0.02
_BAND = 32
"""Number of rows that are blended at once."""


@dataclass(frozen=True, slots=True, eq=False)
class OverlayInput:
    """What an overlay shows.  No heatmap where a gate stopped the slide."""

    thumbnail: Thumbnail
    tissue: Mask
    heatmap: Heatmap | None
    flag: Flag
    marks: Marks = field(default_factory=Marks)

    @property
    def objects(self) -> Objects | None:
        """Those that count; ``None`` where the model finds none."""
        if self.heatmap is None or self.heatmap.objects is None:
            return None
        return counted(self.heatmap.objects, self.flag)

    @property
    def crowded(self) -> bool:
        """Whether its objects are shown as a density."""
        return self.objects is not None and len(self.objects) > MOST_DOTS

    @property
    def shows_scores(self) -> bool:
        return self.heatmap is not None and self.marks.classes is None and self.objects is None


def counted(objects: Objects, flag: Flag) -> Objects:
    """Those that the flag counts."""
    own = objects.classes == flag.model.positive_class
    return objects.only(own & (objects.scores >= flag.threshold))


def picture_size(view: OverlayInput) -> Size:
    """Of the slide's part of the overlay."""
    rows, cols = view.tissue.shape
    scale = LONG_SIDE / max(rows, cols)
    return Size(max(1, round(cols * scale)), max(1, round(rows * scale)))


def slide_with_layers(view: OverlayInput) -> Pixels:
    """The slide with all that is drawn upon it."""
    size = picture_size(view)
    scale = LONG_SIDE / max(view.tissue.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(view.thumbnail.pixels, (size.width, size.height), interpolation=how)
    slide = np.asarray(pixels, np.uint8)
    whole = view.flag.slide.size
    per_px = np.array([size.width / whole.width, size.height / whole.height])
    if view.heatmap is not None:
        _lay_cells(slide, view, view.heatmap)
        _draw_objects(slide, view, per_px)
    found, _ = cv2.findContours(
        view.tissue.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
    )
    _draw_lines(slide, ((ring[:, 0] + 0.5) * scale for ring in found), OUTLINE, 1)
    rings = (ring for finding in view.flag.findings for ring in (finding.outline, *finding.holes))
    _draw_lines(slide, (np.array(ring) * per_px for ring in rings), REGION, 3)
    return slide


def class_colour(number: int) -> str:
    return CLASS_COLOURS[number % len(CLASS_COLOURS)]


def rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue


def washed_out(pixels: Pixels) -> Pixels:
    """Without colour and pale: what was not looked at."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.uint16)
    return np.repeat(((grey + 255) // 2).astype(np.uint8)[..., None], 3, axis=2)


def striped(height: int, width: int) -> Pixels:
    """(height, width, 4): grey with dark stripes, what could not be assessed."""
    layer = np.zeros((height, width, 4), np.uint8)
    layer[...] = (*rgb(MISSED), _GREY)
    slope = np.add.outer(np.arange(height), np.arange(width))
    layer[slope % _STRIPE_PX < _STRIPE_PX // 3] = (*rgb(_STRIPE), 255)
    return layer


def densities(view: OverlayInput) -> NDArray[np.float32]:
    """Number of objects a mm², of each square of ``_BIN_PX`` pixels of the picture."""
    size, whole = picture_size(view), view.flag.slide.size
    bins = -(-size.height // _BIN_PX), -(-size.width // _BIN_PX)
    middles = view.objects.middles if view.objects is not None else np.empty((0, 2))
    per_px = whole.width / size.width, whole.height / size.height
    ends = bins[0] * _BIN_PX * per_px[1], bins[1] * _BIN_PX * per_px[0]
    count, *_ = np.histogram2d(
        middles[:, 1], middles[:, 0], bins=bins, range=[(0, ends[0]), (0, ends[1])]
    )
    spacing = view.flag.slide.known_spacing()
    mm2 = _BIN_PX**2 * per_px[0] * spacing.x_um * per_px[1] * spacing.y_um / 1e6
    smooth = cv2.GaussianBlur(count.astype(np.float32), (_BLUR_BINS, _BLUR_BINS), 0)
    return np.asarray(smooth / mm2, np.float32)


def viridis(values: NDArray[np.floating[Any]]) -> Pixels:
    """RGB of values in 0..1: even to the eye, and safe for the colour-blind."""
    bgr = cv2.applyColorMap((values * 255).round().astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(bgr[..., ::-1])


def _draw_objects(slide: Pixels, view: OverlayInput, per_px: NDArray[np.float64]) -> None:
    if (objects := view.objects) is None:
        return
    if view.crowded:
        found = densities(view)
        height, width = slide.shape[:2]
        share = cv2.resize(found / found.max(), None, fx=_BIN_PX, fy=_BIN_PX)[:height, :width]
        share = np.clip(share, 0, 1)
        opacity = np.where(share >= _FAINT, 255 * (_LEAST_OPACITY + 0.5 * share), 0)
        _blend(slide, np.dstack([viridis(share), opacity.round().astype(np.uint8)]))
        return
    for x, y in (objects.middles * per_px).round().tolist():
        cv2.circle(slide, (int(x), int(y)), 1, rgb(REGION), -1, cv2.LINE_AA)


def _draw_lines(
    slide: Pixels, rings: Iterable[NDArray[np.float64]], colour: str, width: int
) -> None:
    """(points, 2) each, x and y in pixels, closed.  One is held at a time."""
    for ring in rings:
        points = np.round((ring - 0.5) * 2**_FRACTION).astype(np.int32)
        cv2.polylines(slide, [points], True, rgb(colour), width, cv2.LINE_AA, _FRACTION)


def _lay_cells(slide: Pixels, view: OverlayInput, heatmap: Heatmap) -> None:
    """Each pixel shows the cell under its middle; stripes where that, or any smaller cell there,
    could not be assessed."""
    height, width = slide.shape[:2]
    per_px = view.flag.slide.size.width / width, view.flag.slide.size.height / height
    rows, cols = heatmap.planned.shape
    down = ((np.arange(height) + 0.5) * per_px[1] / heatmap.step.y).astype(int)
    along = ((np.arange(width) + 0.5) * per_px[0] / heatmap.step.x).astype(int)
    seen_rows, down = np.unique(down[down < rows], return_inverse=True)
    seen_cols, along = np.unique(along[along < cols], return_inverse=True)
    seen = np.ix_(seen_rows, seen_cols)
    part = np.s_[: len(down), : len(along)]
    layer = np.zeros((height, width, 4), np.uint8)
    colours = _at_once(_colours(view, heatmap, seen))
    _at_once(layer)[part] = colours[down][:, along]
    looked_at, missed = np.zeros((2, height, width), bool)
    looked_at[part] = heatmap.planned[seen][down][:, along]
    missed[part] = heatmap.missed[seen][down][:, along]
    row, col = np.nonzero(heatmap.missed)
    y = np.minimum((row + 0.5) * heatmap.step.y / per_px[1], height - 1).astype(int)
    x = np.minimum((col + 0.5) * heatmap.step.x / per_px[0], width - 1).astype(int)
    missed[y, x] = True
    cv2.copyTo(washed_out(slide), (~looked_at & ~missed).astype(np.uint8), slide)
    np.copyto(_at_once(layer), _at_once(striped(height, width)), where=missed)
    _blend(slide, layer)


def _colours(view: OverlayInput, heatmap: Heatmap, seen: Seen) -> Pixels:
    """(rows, cols, 4) of these cells."""
    if heatmap.objects is not None:
        return np.zeros((len(seen[0]), seen[1].size, 4), np.uint8)
    if view.marks.classes is not None:
        return _class_colours(heatmap)[view.marks.classes[seen]]
    return _score_colours(heatmap.shown[seen], heatmap.assessed[seen])


def _score_colours(scores: NDArray[np.float32], assessed: Mask) -> Pixels:
    """Colour tells the value; a low one is still a tint, so that it differs from nothing."""
    known = np.nan_to_num(scores)
    share = _LEAST_OPACITY + (_MOST_OPACITY - _LEAST_OPACITY) * known
    opacity = np.where(assessed, share * 255, 0).round().astype(np.uint8)
    return np.dstack([viridis(known), opacity])


def _class_colours(heatmap: Heatmap) -> Pixels:
    """(1 + classes, 4): nothing, then the positive class in full and the others pale."""
    colours = np.zeros((1 + len(heatmap.model.classes), 4), np.uint8)
    for n in range(len(heatmap.model.classes)):
        opacity = _FULL if n == heatmap.model.positive_class else _PALE
        colours[1 + n] = (*rgb(class_colour(n)), opacity)
    return colours


def _at_once(colours: Pixels) -> NDArray[np.uint32]:
    """(rows, cols) of (rows, cols, 4): a colour is one number, which is quicker to move."""
    return np.ascontiguousarray(colours).view(np.uint32)[..., 0]


def _blend(slide: Pixels, layer: Pixels) -> None:
    """Lay ``layer`` over ``slide``, some rows at a time, so that neither is ever held larger."""
    for top in range(0, len(slide), _BAND):
        rows = np.s_[top : top + _BAND]
        slide[rows] = blended(slide[rows], layer[rows])


def blended(below: Pixels, above: Pixels) -> Pixels:
    """(rows, cols, 3) under (rows, cols, 4)."""
    opacity = above[..., 3:].astype(np.uint16)  # 255 * 255 + 127 is the most
    mixed = below * (255 - opacity) + above[..., :3] * opacity
    return np.asarray((mixed + 127) // 255, np.uint8)
