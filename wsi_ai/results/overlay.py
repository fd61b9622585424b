"""A picture for people: the slide, the model's result on it, and what that means."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from wsi_ai.core.cards import Task
from wsi_ai.core.flags import Flag, Level, statement_of
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import Heatmap, Marks, Mask, Objects, SlideInfo
from wsi_ai.results.lettering import font, wrapped, write_upwards
from wsi_ai.tissue.thumbnail import Thumbnail

Pixels = NDArray[np.uint8]
Seen = tuple[NDArray[np.intp], ...]
"""Rows and columns of cells, as ``numpy.ix_`` gives them."""
_LONG_SIDE, _LEFT, _TOP, _RIGHT, _BOTTOM = 1290, 50, 200, 310, 140
_LEAST = Size(750, 330)
"""Least size of the slide's part, so that the text beside it has room."""
_OUTLINE, _REGION, _MISSED = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito 2008
_CLASSES = ("#CC79A7", "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#F0E442")
_PALE, _FULL, _GREY = 64, 166, 178  # opacity, of 255
_FRACTION = 4
"""Number of fractional bits of a pixel to which lines are drawn."""
_BANNER = {
    Level.EXPEDITE: ("EXPEDITE", "#D55E00"),
    Level.STANDARD: ("STANDARD", "#0072B2"),
    Level.NOT_ASSESSED: ("NOT ASSESSED", "#555555"),
}
_BOLD = "DejaVuSans-Bold"
_DOT = 0


@dataclass(frozen=True, slots=True, eq=False)
class OverlayInput:
    """What an overlay shows.  No heatmap where a gate stopped the slide."""

    thumbnail: Thumbnail
    tissue: Mask
    heatmap: Heatmap | None
    flag: Flag
    marks: Marks = field(default_factory=Marks)


def write_overlay(path: Path, view: OverlayInput) -> None:
    """Write the overlay as PNG; nothing on it names the slide."""
    slide = _slide(view)
    height, width = slide.shape[:2]
    room = Size(max(width, _LEAST.width), max(height, _LEAST.height))
    size = (_LEFT + room.width + _RIGHT, _TOP + room.height + _BOTTOM)
    sheet = Image.new("RGB", size, "white")
    sheet.paste(Image.fromarray(slide), (_LEFT, _TOP))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((_LEFT - 1, _TOP - 1, _LEFT + width, _TOP + height), outline="black", width=2)
    _draw_scale_bar(draw, view.flag.slide.spacing, view.flag.slide.size, Size(width, height))
    beside = _LEFT + room.width + 25
    below = _draw_legend(draw, view, beside)
    if view.heatmap is not None and _shows_scores(view):
        _draw_colour_bar(sheet, view.flag, beside, below + 40)
    _draw_words(draw, view.flag, Size(*size))
    _, png = cv2.imencode(".png", cv2.cvtColor(np.asarray(sheet), cv2.COLOR_RGB2BGR))
    path.write_bytes(png.tobytes())


def _slide(view: OverlayInput) -> Pixels:
    """The slide with all that is drawn upon it."""
    rows, cols = view.tissue.shape
    scale = _LONG_SIDE / max(rows, cols)
    size = Size(max(1, round(cols * scale)), max(1, round(rows * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(view.thumbnail.pixels, (size.width, size.height), interpolation=how)
    slide = np.asarray(pixels, np.uint8)
    if view.heatmap is not None:
        _blend(slide, _cells(view, view.heatmap, size))
    whole = view.flag.slide.size
    per_px = np.array([size.width / whole.width, size.height / whole.height])
    found, _ = cv2.findContours(
        view.tissue.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
    )
    _draw_lines(slide, ((ring[:, 0] + 0.5) * scale for ring in found), _OUTLINE, 1)
    if view.heatmap is not None and view.heatmap.objects is not None:
        for x, y in (_counted(view.heatmap.objects, view.flag).middles * per_px).round().tolist():
            cv2.circle(slide, (int(x), int(y)), 1, _rgb(_REGION), -1, cv2.LINE_AA)
    rings = [ring for finding in view.flag.findings for ring in (finding.outline, *finding.holes)]
    _draw_lines(slide, (np.array(ring) * per_px for ring in rings), _REGION, 2)
    return slide


def _draw_lines(
    slide: Pixels, rings: Iterable[NDArray[np.float64]], colour: str, width: int
) -> None:
    """(points, 2) each, x and y in pixels, closed."""
    points = [np.round((ring - 0.5) * 2**_FRACTION).astype(np.int32) for ring in rings]
    cv2.polylines(slide, points, True, _rgb(colour), width, cv2.LINE_AA, _FRACTION)


def _shows_scores(view: OverlayInput) -> bool:
    objects = view.heatmap.objects if view.heatmap is not None else None
    return view.marks.classes is None and objects is None


def _cells(view: OverlayInput, heatmap: Heatmap, size: Size) -> Pixels:
    """(height, width, 4): each pixel shows the cell under its middle; grey where that, or any
    smaller cell there, could not be assessed."""
    per_px = view.flag.slide.size.width / size.width, view.flag.slide.size.height / size.height
    rows, cols = heatmap.planned.shape
    down = ((np.arange(size.height) + 0.5) * per_px[1] / heatmap.step.y).astype(int)
    along = ((np.arange(size.width) + 0.5) * per_px[0] / heatmap.step.x).astype(int)
    seen_rows, down = np.unique(down[down < rows], return_inverse=True)
    seen_cols, along = np.unique(along[along < cols], return_inverse=True)
    seen, grey = np.ix_(seen_rows, seen_cols), (*_rgb(_MISSED), _GREY)
    colours = _colours(view, heatmap, seen)
    colours[heatmap.missed[seen]] = grey
    layer = np.zeros((size.height, size.width, 4), np.uint8)
    layer[: len(down), : len(along)] = colours[down][:, along]
    row, col = np.nonzero(heatmap.missed)
    y = np.minimum((row + 0.5) * heatmap.step.y / per_px[1], size.height - 1).astype(int)
    x = np.minimum((col + 0.5) * heatmap.step.x / per_px[0], size.width - 1).astype(int)
    layer[y, x] = grey
    return layer


def _colours(view: OverlayInput, heatmap: Heatmap, seen: Seen) -> Pixels:
    """(rows, cols, 4) of these cells."""
    if heatmap.objects is not None:
        return np.zeros((len(seen[0]), seen[1].size, 4), np.uint8)
    if view.marks.classes is not None:
        return _class_colours(heatmap)[view.marks.classes[seen]]
    return _score_colours(heatmap.shown[seen], heatmap.assessed[seen])


def _score_colours(scores: NDArray[np.float32], assessed: Mask) -> Pixels:
    """Colour tells the value: viridis, which is even to the eye and safe for the colour-blind.
    Opacity keeps the tissue readable where the value is low."""
    known = np.nan_to_num(scores)
    bgr = cv2.applyColorMap((known * 255).round().astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    opacity = np.where(assessed, (0.12 + 0.48 * known) * 255, 0).round().astype(np.uint8)
    return np.dstack([bgr[..., ::-1], opacity])


def _class_colours(heatmap: Heatmap) -> Pixels:
    """(1 + classes, 4): nothing, then the positive class in full and the others pale."""
    colours = np.zeros((1 + len(heatmap.model.classes), 4), np.uint8)
    for n in range(len(heatmap.model.classes)):
        opacity = _FULL if n == heatmap.model.positive_class else _PALE
        colours[1 + n] = (*_rgb(_CLASSES[n % len(_CLASSES)]), opacity)
    return colours


def _blend(slide: Pixels, layer: Pixels) -> None:
    """Lay ``layer`` over ``slide``, row by row, so that neither is ever held as floats."""
    for below, above in zip(slide, layer, strict=True):
        opacity = above[:, 3:].astype(np.int32)
        mixed = below * (255 - opacity) + above[:, :3] * opacity
        below[...] = (mixed + 127) // 255


def _counted(objects: Objects, flag: Flag) -> Objects:
    own = objects.classes == flag.model.positive_class
    return objects.only(own & (objects.scores >= flag.threshold))


def _draw_colour_bar(sheet: Image.Image, flag: Flag, x: int, y: int) -> None:
    width, height = 36, min(700, sheet.height - y - _BOTTOM)
    draw, small, words = ImageDraw.Draw(sheet), font(15), font(17)
    ramp = np.linspace(255, 0, height).round().astype(np.uint8)[:, None]
    bar = cv2.applyColorMap(np.repeat(ramp, width, axis=1), cv2.COLORMAP_VIRIDIS)
    sheet.paste(Image.fromarray(np.ascontiguousarray(bar[..., ::-1])), (x, y))
    draw.rectangle((x - 1, y - 1, x + width, y + height), outline="black", width=2)
    for tick in (0, 0.25, 0.5, 0.75, 1):
        at = y + (1 - tick) * (height - 1)
        draw.line((x + width, at, x + width + 8, at), "black", 2)
        draw.text((x + width + 14, at), f"{tick:.2f}", "black", small, anchor="lm")
    if flag.model.task is Task.SLIDE_CLASSIFICATION:
        label = "attention, least to most on this slide; no probability"
    else:
        at = y + (1 - flag.threshold) * (height - 1)
        draw.line((x, at, x + width - 1, at), _REGION, 4)
        label = f"{flag.model.cell_name} score for {flag.model.point.label}"
    write_upwards(sheet, (x + width + 80, y + height / 2), label, words)


def _draw_scale_bar(
    draw: ImageDraw.ImageDraw, spacing: Spacing | None, slide: Size, on: Size
) -> None:
    """A scale bar of a round length, at most a quarter of the slide, at the lower left."""
    if spacing is None:
        return
    width_um = slide.width * spacing.x_um
    round_lengths = [d * 10.0**e for e in range(6) for d in (1, 2, 5)]
    length_um = max(length for length in round_lengths if length <= max(width_um / 4, 1))
    length = length_um / width_um * on.width
    x, y = _LEFT + on.width * 0.03, _TOP + on.height * 0.97
    draw.rectangle((x, y - 6, x + length, y), "black")
    text = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    draw.text((x, y - 12), text, "black", font(17), "ls", stroke_width=2, stroke_fill="white")


def _draw_legend(draw: ImageDraw.ImageDraw, view: OverlayInput, x: int) -> int:
    """The place where it ends."""
    letters, y = font(15), _TOP
    for colour, mark, text in _entries(view):
        for n, line in enumerate(wrapped(text, letters, _RIGHT - 90)):
            if n == 0 and mark == _DOT:
                draw.ellipse((x + 14, y + 7, x + 20, y + 13), colour)
            elif n == 0:
                draw.rectangle((x, y + 10 - mark // 2, x + 34, y + 10 + (mark - 1) // 2), colour)
            draw.text((x + 46, y + 10), line, "black", letters, anchor="lm")
            y += 26
    return y


def _entries(view: OverlayInput) -> Iterator[tuple[str, int, str]]:
    """For each: colour, thickness of its sample or ``_DOT``, and words."""
    yield _OUTLINE, 2, "tissue"
    heatmap, flag = view.heatmap, view.flag
    if heatmap is not None and heatmap.objects is not None:
        found = len(_counted(heatmap.objects, flag))
        yield _REGION, _DOT, f"{found} objects: {flag.model.point.label}"
    if flag.findings:
        yield _REGION, 4, f"score ≥ {flag.threshold:.2f}"
    if heatmap is not None and view.marks.classes is not None:
        for n, name in enumerate(heatmap.model.classes):
            yield _CLASSES[n % len(_CLASSES)], 16, name
    if heatmap is not None and heatmap.missed.any():
        yield _MISSED, 16, "could not be assessed"


def _draw_words(draw: ImageDraw.ImageDraw, flag: Flag, sheet: Size) -> None:
    word, colour = _BANNER[flag.level]
    draw.text((_LEFT, 62), word, colour, font(35, _BOLD), "lm")
    letters, width = font(17), sheet.width - 2 * _LEFT
    for n, line in enumerate(wrapped(flag.reason, letters, width)):
        draw.text((_LEFT, 118 + 26 * n), line, "black", letters, "lm")
    draw.text((_LEFT, sheet.height - 90), statement_of(flag.model), "black", font(19, _BOLD), "lm")
    ref = flag.model.ref
    facts = (
        f"model {ref.name} {ref.version} ({ref.sha256[:8]}), policy {flag.policy},"
        f" {flag.coverage:.1%} of {flag.planned} planned {flag.model.cell_name}s assessed,"
        f" slide {flag.slide.fingerprint[:8]}{_scale_words(flag.slide)}"
    )
    for n, line in enumerate(wrapped(facts, font(15), width)):
        draw.text((_LEFT, sheet.height - 52 + 22 * n), line, "#333333", font(15), "lm")


def _scale_words(slide: SlideInfo) -> str:
    """Where another µm/px was used than the file says."""
    if slide.stated is None or slide.spacing is None or slide.stated == slide.spacing:
        return ""
    return f", {slide.spacing.mean_um:.4g} µm/px as given, the file says {slide.stated.mean_um:.4g}"


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue
