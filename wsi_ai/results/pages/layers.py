"""The slide in small, and what a model says of it: pictures to be laid over one another."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from wsi_ai.core.flags import Flag
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Heatmap, Marks, Mask, Objects
from wsi_ai.results.overlay_layers import (
    MISSED,
    OUTLINE,
    REGION,
    blended,
    class_colour,
    counted,
    rgb,
    viridis,
)
from wsi_ai.results.pages.page import picture
from wsi_ai.tissue.overview import Overview

_LONG_SIDE, _MOST_CELLS, _PREVIEW_PX = 1600, 1600, 480
_QUALITY = 80
_FIRST = 2
"""Of the palette: before it come what is not shown, and what could not be assessed."""
_LINES = ("#000000", OUTLINE, REGION, MISSED)
Indexed = NDArray[np.uint8]
"""A picture in numbers of a palette."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Pictures of the whole slide, as addresses."""

    size: Size
    """Of ``base``, in pixels."""
    base: Markup
    lines: Markup
    """Outlines and objects, as large as ``base``."""
    heat: Markup | None = None
    """A pixel for each cell; ``None`` where there is no heatmap, or it shows objects."""
    wide: float = 1.0
    """How much wider the heatmap is than the slide: its last cells may reach beyond it."""
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """The layers, and all of them in one small picture."""

    layers: Layers
    preview: bytes
    """JPEG."""


def draw(look: Overview, heatmap: Heatmap | None, flag: Flag, marks: Marks) -> Drawn:
    size = _fitting(Size(look.tissue.shape[1], look.tissue.shape[0]), _LONG_SIDE)
    pixels = np.ascontiguousarray(_resized(look.thumbnail.pixels, size))
    lines = _lines(look.tissue, heatmap, flag, size)
    heat = None if heatmap is None else _heat(heatmap, marks)
    across, down = (1.0, 1.0) if heatmap is None else _reach(heatmap)
    layers = Layers(
        size=size,
        base=picture("jpeg", jpeg(pixels)),
        lines=picture("png", _png(lines, _solid(_LINES))),
        heat=None if heat is None else picture("png", _png(*heat)),
        wide=across,
        high=down,
    )
    return Drawn(layers, _preview(pixels, heat, lines, (across, down)))


def jpeg(pixels: NDArray[np.uint8], quality: int = _QUALITY) -> bytes:
    """(rows, cols, 3) RGB."""
    encoded: bytes = simplejpeg.encode_jpeg(
        pixels, quality=quality, colorspace="RGB", colorsubsampling="420"
    )
    return encoded


def _fitting(size: Size, long_side: int) -> Size:
    scale = min(1.0, long_side / max(size.width, size.height))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def _resized(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (size.height, size.width):
        return pixels
    by_half = 2 * size.width <= pixels.shape[1]
    how = cv2.INTER_AREA if by_half else cv2.INTER_LINEAR
    small = cv2.resize(pixels, (size.width, size.height), interpolation=how)
    return np.asarray(small, np.uint8)


def _reach(heatmap: Heatmap) -> tuple[float, float]:
    rows, cols = heatmap.planned.shape
    size = heatmap.slide.size
    return cols * heatmap.step.x / size.width, rows * heatmap.step.y / size.height


def _heat(heatmap: Heatmap, marks: Marks) -> tuple[Indexed, NDArray[np.uint8]] | None:
    """A number for each cell, and the palette (colours, 4).  None where objects are shown."""
    if heatmap.objects is not None:
        cells = np.zeros(heatmap.planned.shape, np.uint8)
        palette = _class_palette(heatmap)
    elif marks.classes is not None:
        cells = np.where(marks.classes > 0, marks.classes + (_FIRST - 1), 0).astype(np.uint8)
        palette = _class_palette(heatmap)
    else:
        steps = 255 - _FIRST
        scaled = np.clip(np.nan_to_num(heatmap.shown), 0, 1) * steps
        cells = np.where(heatmap.assessed, _FIRST + np.rint(scaled), 0).astype(np.uint8)
        palette = _score_palette()
    cells[heatmap.missed] = 1
    if heatmap.objects is not None and not cells.any():
        return None
    return _pooled(cells), palette


def _pooled(cells: Indexed) -> Indexed:
    """At most ``_MOST_CELLS`` along a side: the highest of each block, but what could not be
    assessed is seen wherever it is."""
    by = -(-max(cells.shape) // _MOST_CELLS)
    if by == 1:
        return cells
    rows, cols = (-(-side // by) for side in cells.shape)
    even = np.zeros((rows * by, cols * by), np.uint8)
    even[: cells.shape[0], : cells.shape[1]] = cells
    blocks = even.reshape(rows, by, cols, by)
    return np.where((blocks == 1).any(axis=(1, 3)), 1, blocks.max(axis=(1, 3))).astype(np.uint8)


def _score_palette() -> NDArray[np.uint8]:
    """Viridis, which is even to the eye and safe for the colour-blind; what is low is paler."""
    known = np.linspace(0, 1, 256 - _FIRST)
    opacity = np.rint(255 * (0.25 + 0.75 * known))[:, None]
    colours = np.hstack([viridis(known[:, None])[:, 0], opacity])
    return np.concatenate([_unscored(), colours]).astype(np.uint8)


def _class_palette(heatmap: Heatmap) -> NDArray[np.uint8]:
    """The positive class in full and the others pale."""
    full = [n == heatmap.model.positive_class for n in range(len(heatmap.model.classes))]
    rows = [(*rgb(class_colour(n)), 255 if own else 110) for n, own in enumerate(full)]
    return np.concatenate([_unscored(), rows]).astype(np.uint8)


def _unscored() -> NDArray[np.int64]:
    return np.array([(0, 0, 0, 0), (*rgb(MISSED), 235)])


def _solid(colours: Iterable[str]) -> NDArray[np.uint8]:
    """The first is nothing."""
    return np.array([(*rgb(c), 255 if n else 0) for n, c in enumerate(colours)], np.uint8)


def _png(cells: Indexed, palette: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(cells, "L")
    image.putpalette(palette[:, :3].tobytes())
    out = BytesIO()
    image.save(out, "PNG", transparency=palette[:, 3].tobytes(), compress_level=1)
    return out.getvalue()


def _lines(tissue: Mask, heatmap: Heatmap | None, flag: Flag, size: Size) -> Indexed:
    """Outlines of tissue and regions, and objects that count."""
    drawn = np.zeros((size.height, size.width), np.uint8)
    rows, cols = tissue.shape
    found, _ = cv2.findContours(tissue.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    scale = np.array([size.width / cols, size.height / rows])
    _draw(drawn, ((ring[:, 0] + 0.5) * scale for ring in found), 1, 1)
    whole = flag.slide.size
    per_px = np.array([size.width / whole.width, size.height / whole.height])
    if heatmap is not None and heatmap.objects is not None:
        _dot(drawn, counted(heatmap.objects, flag), per_px)
    rings = (ring for finding in flag.findings for ring in (finding.outline, *finding.holes))
    _draw(drawn, (np.array(ring) * per_px for ring in rings), 2, 2)
    return drawn


def _draw(drawn: Indexed, rings: Iterable[NDArray[np.float64]], number: int, width: int) -> None:
    for ring in rings:
        cv2.polylines(drawn, [np.rint(ring).astype(np.int32)], True, (number,), width)


def _dot(drawn: Indexed, objects: Objects, per_px: NDArray[np.float64]) -> None:
    x, y = np.rint(objects.middles * per_px).astype(int).T
    dots = np.zeros_like(drawn)
    dots[np.clip(y, 0, drawn.shape[0] - 1), np.clip(x, 0, drawn.shape[1] - 1)] = 1
    drawn[cv2.dilate(dots, np.ones((3, 3), np.uint8)) > 0] = 2


def _preview(
    pixels: NDArray[np.uint8],
    heat: tuple[Indexed, NDArray[np.uint8]] | None,
    lines: Indexed,
    reach: tuple[float, float],
) -> bytes:
    size = _fitting(Size(pixels.shape[1], pixels.shape[0]), _PREVIEW_PX)
    small = _resized(pixels, size)
    if heat is not None:
        cells, palette = heat
        down = (np.arange(size.height) + 0.5) / size.height / reach[1] * cells.shape[0]
        along = (np.arange(size.width) + 0.5) / size.width / reach[0] * cells.shape[1]
        shown = palette.copy()
        shown[:, 3] = shown[:, 3] * 0.6  # as the report's slider stands at first
        whole = shown.view(np.uint32)[:, 0]  # a colour at once
        chosen = whole[cells[np.ix_(down.astype(int), along.astype(int))]]
        small = blended(small, chosen[..., None].view(np.uint8))
    thin = cv2.resize(lines, (size.width, size.height), interpolation=cv2.INTER_NEAREST)
    found = np.nonzero(thin)
    small[found] = _solid(_LINES)[thin[found], :3]
    return jpeg(small)
