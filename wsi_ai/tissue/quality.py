"""Is this slide fit to be assessed?  Measured and compared with limits before inference starts."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.contracts import Slide
from wsi_ai.core.flags import Check, Quality, Status
from wsi_ai.core.values import Mask
from wsi_ai.errors import TileUnreadable
from wsi_ai.tissue.bands import bands_of
from wsi_ai.tissue.glass import is_grey, look_at_glass
from wsi_ai.tissue.thumbnail import Thumbnail, pixel_spacing

_SPOTS = 64
_SPOT_PX = 256
_SHARP = 0.22
"""Fine detail divided by coarse detail.  On CMU-1, a TCGA slide and the sample slides, 98 % of the
sharp spots lie above 0.24; blurred by a Gaussian of 2 pixels, 98 % lie below 0.19."""

_LOOKED_AT, _FEWEST_PX = 16, 16
"""Spots that are looked at in all levels, down to this number of pixels along a side."""
_ALIKE, _ALIKE_MIN = 15.0, 0.75
"""Grey levels between a spot's mean colours at any two levels, and the least share of such spots.
No spot of CMU-1, a TCGA slide and the sample slides is off by more than 10."""
_INK_UM = 12.0
"""Ink is looked for at this number of micrometres per pixel, where single nuclei cannot be seen."""
_OPAQUE = 0.52
"""Optical density in red, over about 50 µm: dense lymphoid tissue stays below 0.5."""
_INK_REACH_PX = 8
"""Of the blur by which ``_OPAQUE`` is measured."""

_NO_COLOURS = "the slide has no colours"
_LITTLE_GLASS = "too little glass is seen to judge the colours by it"


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a slide must reach to be assessed."""

    focus_min: float = 0.6
    pen_max: float = 0.1
    tissue_min: float = 0.0002
    cast_max: float = 0.25
    """Of the glass: the largest difference between its colours, of the largest one.  A white point
    that is off by 8 % either way has 0.15; RGB decoded as YCbCr, or the reverse, 0.4 and more."""

    def __post_init__(self) -> None:
        for name in ("focus_min", "pen_max", "tissue_min", "cast_max"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")


def check_quality(
    slide: Slide, thumbnail: Thumbnail, tissue: Mask, limits: QualityLimits
) -> Quality:
    """Measure colours, tissue, focus and pen.  Reads at most 64 spots of level 0; what the
    thumbnail alone tells of the colours is measured beside that, in a thread."""
    fraction = float(tissue.mean())
    with ThreadPoolExecutor(1) as beside:
        colours = beside.submit(_colours, thumbnail, tissue, limits.cast_max)
        spots = list(_spots(slide, tissue & ~thumbnail.unread))
        focus = _share(sharpness(spot.pixels) >= _SHARP for spot in spots)
        alike = alike_fraction(slide, spots)
        pen = hidden_fraction(slide, thumbnail, tissue)
    return Quality(
        (
            colours.result(),
            _at_least("levels", alike, _ALIKE_MIN, "share of spots of one colour at all levels"),
            _at_least("tissue", fraction, limits.tissue_min, "share of the slide that is tissue"),
            _at_least("focus", focus, limits.focus_min, "share of looked-at spots in focus"),
            _at_most("pen", pen, limits.pen_max, "share of the tissue hidden by ink or darkness"),
        ),
        tissue_fraction=fraction,
    )


def _colours(thumbnail: Thumbnail, tissue: Mask, most: float) -> Check:
    """Before all others: a slide in wrong colours is not measured rightly by any of them."""
    glass = look_at_glass(thumbnail, most)
    if is_grey(thumbnail, tissue):
        return Check("colours", 1.0, glass.limit, Status.FAIL, _NO_COLOURS)
    if not glass.seen:
        return Check("colours", 0.0, glass.limit, Status.PASS, _LITTLE_GLASS)
    status = Status.FAIL if glass.colour else Status.PASS
    meaning = f"the glass is {glass.colour or 'near neutral'}"
    return Check("colours", glass.cast, glass.limit, status, meaning)


@dataclass(frozen=True, slots=True, eq=False)
class _Spot:
    """A piece of level 0, by its corner there."""

    x: int
    y: int
    pixels: NDArray[np.uint8]


def _spots(slide: Slide, tissue: Mask) -> Iterator[_Spot]:
    """Up to 64, spread over the tissue; those that can be read."""
    rows, cols = tissue.shape
    size, half = slide.info.size, _SPOT_PX // 2
    for row, col in _spread(tissue):
        x = (2 * col + 1) * size.width // (2 * cols) - half
        y = (2 * row + 1) * size.height // (2 * rows) - half
        try:
            yield _Spot(x, y, slide.read(0, x, y, _SPOT_PX, _SPOT_PX))
        except TileUnreadable:
            continue


def alike_fraction(slide: Slide, spots: Sequence[_Spot]) -> float:
    """Share of some of the spots that have one colour at all levels: damage to what all tiles of a
    level share, such as its JPEG tables, changes all of them at once, and no decoder minds."""
    spread = [
        _spread_over_levels(slide, spot) for spot in spots[:: max(1, len(spots) // _LOOKED_AT)]
    ]
    return _share(apart <= _ALIKE for apart in spread) if spread else 1.0


def _spread_over_levels(slide: Slide, spot: _Spot) -> float:
    """The largest difference between mean colours; of levels that cannot be read here nothing."""
    size, means = slide.info.size, list[NDArray[np.float64]]()
    x, y = max(spot.x, 0), max(spot.y, 0)
    right, bottom = min(spot.x + _SPOT_PX, size.width), min(spot.y + _SPOT_PX, size.height)
    for level, down in enumerate(slide.info.downsamples):
        width, height = int((right - x) / down), int((bottom - y) / down)
        if min(width, height) < _FEWEST_PX:
            break
        try:
            means.append(slide.read(level, x, y, width, height).mean((0, 1)))
        except TileUnreadable:
            continue
    return float(np.ptp(means, axis=0).max()) if means else 0.0


def _share(seen: Iterable[bool]) -> float:
    """0 where nothing was seen."""
    values = list(seen)
    return float(np.mean(values)) if values else 0.0


def _spread(tissue: Mask) -> Iterator[tuple[int, int]]:
    """Row and column of up to 64 pixels of tissue, spread evenly."""
    up_to = np.cumsum(np.count_nonzero(tissue, axis=1))
    total = int(up_to[-1])
    for nth in np.linspace(0, total - 1, min(_SPOTS, total)).astype(int):
        row = int(np.searchsorted(up_to, nth, side="right"))
        yield row, int(np.flatnonzero(tissue[row])[nth - up_to[row]])


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Deviation of detail finer than about a pixel, divided by that of detail of one to four
    pixels.

    A ratio, so that pale and dark, busy and plain tissue can be compared.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.0)
    coarse = float((soft - cv2.GaussianBlur(grey, (0, 0), 4.0)).std())
    return float((grey - soft).std()) / max(coarse, 0.5)


def hidden_fraction(slide: Slide, thumbnail: Thumbnail, tissue: Mask) -> float:
    """Share of the tissue under blue, green or black ink, or too dark to see through.

    Haematoxylin and eosin both absorb green most; ink that absorbs red as much is neither.  Red
    ink passes for eosin and is not found.
    """
    rows, cols = tissue.shape
    shrink = max(1.0, _INK_UM / pixel_spacing(slide.info, thumbnail).mean_um)
    shape = max(1, round(cols / shrink)), max(1, round(rows / shrink))
    small = cv2.resize(thumbnail.pixels, shape, interpolation=cv2.INTER_AREA)
    held = cv2.resize(tissue.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST) > 0
    hidden = 0
    for band in bands_of(np.asarray(small, np.uint8), _INK_REACH_PX):
        hidden += int((_hidden(band.seen)[band.own] & held[band.place]).sum())
    total = int(held.sum())
    return hidden / total if total else 0.0


def _hidden(pixels: NDArray[np.uint8]) -> Mask:
    """(rows, cols): under ink, or too dark."""
    density = -np.log10((pixels.astype(np.float32) + 1) / 256)
    red, green, blue = cv2.split(density)
    ink = (red > 0.9 * green) & (red > 0.12) & (red > 1.15 * blue)
    found: Mask = ink | (cv2.GaussianBlur(red, (0, 0), 2.0) > _OPAQUE)
    return found


def _at_least(name: str, value: float, limit: float, meaning: str) -> Check:
    return Check(name, value, limit, Status.PASS if value >= limit else Status.FAIL, meaning)


def _at_most(name: str, value: float, limit: float, meaning: str) -> Check:
    return Check(name, value, limit, Status.PASS if value <= limit else Status.FAIL, meaning)


def held_to(quality: Quality, before: QualityLimits, limits: QualityLimits) -> Quality:
    """What was measured, held to other limits; ``before`` are those that it was held to first."""
    if before == limits:
        return quality
    checks = tuple(_held_to(check, before, limits) for check in quality.checks)
    return Quality(checks, quality.tissue_fraction)


def _held_to(check: Check, before: QualityLimits, limits: QualityLimits) -> Check:
    value, meaning = check.value, check.meaning
    if check.name == "tissue":
        return _at_least(check.name, value, limits.tissue_min, meaning)
    if check.name == "focus":
        return _at_least(check.name, value, limits.focus_min, meaning)
    if check.name == "pen":
        return _at_most(check.name, value, limits.pen_max, meaning)
    if check.name != "colours" or meaning in (_NO_COLOURS, _LITTLE_GLASS):
        return check  # no policy has a limit for it
    raised = check.limit if check.limit != before.cast_max else 0.0  # beside much white
    limit = max(limits.cast_max, raised)
    return replace(check, limit=limit, status=Status.FAIL if value >= limit else Status.PASS)
