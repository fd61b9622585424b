"""A picture for people: the slide, the model's result on it, and what that means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from wsi_ai.core.cards import Task
from wsi_ai.core.flags import Flag, Level, statement_of
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.printable import printable
from wsi_ai.core.values import SlideInfo
from wsi_ai.core.wording import counted
from wsi_ai.results.lettering import cut_to, font, wrapped, write_upwards
from wsi_ai.results.overlay_layers import (
    OUTLINE,
    REGION,
    OverlayInput,
    Pixels,
    class_colour,
    densities,
    slide_with_layers,
    striped,
    viridis,
)

__all__ = ["OverlayInput", "write_overlay"]

_LEFT, _TOP, _RIGHT, _BOTTOM = 50, 230, 420, 160
_LEAST = Size(750, 480)
"""Least size of the slide's part, so that the text beside it has room."""
_BANNER = {
    Level.EXPEDITE: ("EXPEDITE", "#D55E00"),
    Level.STANDARD: ("STANDARD", "#0072B2"),
    Level.NOT_ASSESSED: ("NOT ASSESSED", "#555555"),
}
_BOLD = "DejaVuSans-Bold"
_SMALL, _PLAIN, _LARGE = 19, 21, 23
"""Sizes of letters, to be read where the picture is shown at half its size."""
_LINE, _SAMPLE = 29, 34
_PALE_SAMPLE = "#D8D8D8"


@dataclass(frozen=True, slots=True)
class _Entry:
    """Of the legend: words, and how the picture shows what they say."""

    words: str
    colour: str = "black"
    thickness: int = 0
    """Of its sample; 0 for a dot, below 0 for none."""
    is_striped: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    """Of the colour bar."""

    label: str
    ticks: Sequence[tuple[float, str]]
    """Where, from 0 to 1, and what stands there."""
    mark: float | None = None
    """The threshold."""


def write_overlay(path: Path, view: OverlayInput) -> None:
    """Write the overlay as PNG.  It names the slide by its file, and never the case."""
    slide = slide_with_layers(view)
    height, width = slide.shape[:2]
    room = Size(max(width, _LEAST.width), max(height, _LEAST.height))
    size = (_LEFT + room.width + _RIGHT, _TOP + room.height + _BOTTOM)
    sheet = Image.new("RGB", size, "white")
    sheet.paste(Image.fromarray(slide), (_LEFT, _TOP))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((_LEFT - 1, _TOP - 1, _LEFT + width, _TOP + height), outline="black", width=2)
    _draw_scale_bar(draw, view.flag.slide.spacing, view.flag.slide.size, Size(width, height))
    beside = _LEFT + room.width + 25
    below = _draw_legend(sheet, view, beside)
    if (scale := _scale(view)) is not None:
        _draw_colour_bar(sheet, scale, beside, below + 30)
    _draw_words(draw, view.flag, Size(*size))
    _, png = cv2.imencode(".png", cv2.cvtColor(np.asarray(sheet), cv2.COLOR_RGB2BGR))
    path.write_bytes(png.tobytes())


def _scale(view: OverlayInput) -> _Scale | None:
    """What the colours mean, where they are of a scale."""
    flag = view.flag
    if view.crowded:
        most = float(densities(view).max())
        ticks = [(share, f"{float(f'{share * most:.3g}'):,.6g}") for share in (0, 0.5, 1)]
        return _Scale(f"{flag.model.point.label} a mm²", ticks)
    if not view.shows_scores:
        return None
    ticks = [(share, f"{share:.2f}") for share in (0, 0.25, 0.5, 0.75, 1)]
    if flag.model.task is Task.SLIDE_CLASSIFICATION:
        return _Scale("attention: where it looked, no score", [(0, "least"), (1, "most")])
    return _Scale(f"{flag.model.cell_name} score: {flag.model.point.label}", ticks, flag.threshold)


def _draw_colour_bar(sheet: Image.Image, scale: _Scale, x: int, y: int) -> None:
    width, height = 36, min(700, sheet.height - y - _BOTTOM)
    draw, small, words = ImageDraw.Draw(sheet), font(_SMALL), font(_PLAIN)
    ramp = np.linspace(1, 0, max(2, height), dtype=np.float32)[:, None]
    bar: Pixels = viridis(np.repeat(ramp, width, axis=1))
    sheet.paste(Image.fromarray(bar), (x, y))
    draw.rectangle((x - 1, y - 1, x + width, y + height), outline="black", width=2)
    for tick, text in scale.ticks:
        at = y + (1 - tick) * (height - 1)
        draw.line((x + width, at, x + width + 8, at), "black", 2)
        draw.text((x + width + 14, at), text, "black", small, anchor="lm")
    if scale.mark is not None:
        at = y + (1 - scale.mark) * (height - 1)
        draw.line((x, at, x + width - 1, at), REGION, 4)
    write_upwards(sheet, (x + width + 125, y + height / 2), scale.label, words)


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
    draw.text((x, y - 12), text, "black", font(_PLAIN), "ls", stroke_width=2, stroke_fill="white")


def _draw_legend(sheet: Image.Image, view: OverlayInput, x: int) -> int:
    """The place where it ends."""
    letters, y, draw = font(_SMALL), _TOP, ImageDraw.Draw(sheet)
    for entry in _entries(view):
        _draw_sample(sheet, entry, x, y)
        indent = 0 if entry.thickness < 0 else _SAMPLE + 12
        for line in wrapped(entry.words, letters, _RIGHT - 40 - indent):
            draw.text((x + indent, y + 11), line, "black", letters, anchor="lm")
            y += _LINE
    return y


def _draw_sample(sheet: Image.Image, entry: _Entry, x: int, y: int) -> None:
    draw, half = ImageDraw.Draw(sheet), entry.thickness // 2
    if entry.thickness == 0:
        draw.ellipse((x + 13, y + 7, x + 21, y + 15), entry.colour)
    elif entry.is_striped:
        sample = striped(entry.thickness, _SAMPLE)[..., :3]
        sheet.paste(Image.fromarray(np.ascontiguousarray(sample)), (x, y + 11 - half))
    elif entry.thickness > 0:
        box = (x, y + 11 - half, x + _SAMPLE, y + 11 + (entry.thickness - 1) // 2)
        draw.rectangle(box, entry.colour)


def _entries(view: OverlayInput) -> Iterator[_Entry]:
    heatmap, flag = view.heatmap, view.flag
    yield _Entry("tissue", OUTLINE, 3)
    if heatmap is None:
        return
    if view.objects is not None:
        what = f"{counted(len(view.objects), 'object')}: {flag.model.point.label}"
        shown = _Entry(f"{what}, as a density", "black", -1)
        yield shown if view.crowded else _Entry(what, REGION, 0)
    if flag.findings:
        yield _Entry(f"score ≥ {flag.threshold:.2f}", REGION, 5)
    if view.marks.classes is not None:
        for n, name in enumerate(heatmap.model.classes):
            yield _Entry(name, class_colour(n), 18)
    if heatmap.missed.any():
        yield _Entry("could not be assessed", thickness=18, is_striped=True)
    yield _Entry("pale: not looked at", _PALE_SAMPLE, 18)
    if flag.model.task is Task.SLIDE_CLASSIFICATION:
        yield _Entry(_deciding(flag), thickness=-1)


def _deciding(flag: Flag) -> str:
    """Of a model that judges slides as a whole: the colours are not what it goes by."""
    score = "no score" if flag.score is None else f"{flag.score:.2f}"
    label, threshold = flag.model.point.label, flag.threshold
    return f"The slide's score for {label} decides: {score}, threshold {threshold:.2f}."


def _draw_words(draw: ImageDraw.ImageDraw, flag: Flag, sheet: Size) -> None:
    word, colour = _BANNER[flag.level]
    letters, width = font(_PLAIN), sheet.width - 2 * _LEFT
    name = cut_to(f"Slide {printable(flag.slide.slide_id)}", font(_LARGE, _BOLD), width)
    draw.text((_LEFT, 34), name, "black", font(_LARGE, _BOLD), "lm")
    draw.text((_LEFT, 92), word, colour, font(38, _BOLD), "lm")
    for n, line in enumerate(wrapped(flag.reason, letters, width)):
        draw.text((_LEFT, 146 + _LINE * n), line, "black", letters, "lm")
    statement = statement_of(flag.model)
    draw.text((_LEFT, sheet.height - 112), statement, "black", font(_LARGE, _BOLD), "lm")
    ref = flag.model.ref
    facts = (
        f"model {ref.name} {ref.version} ({ref.sha256[:8]}), policy {flag.policy},"
        f" {flag.coverage:.1%} of {counted(flag.planned, f'planned {flag.model.cell_name}')}"
        f" assessed, file {flag.slide.fingerprint[:8]}{_scale_words(flag.slide)}"
    )
    for n, line in enumerate(wrapped(facts, font(_SMALL), width)):
        draw.text((_LEFT, sheet.height - 70 + 27 * n), line, "#333333", font(_SMALL), "lm")


def _scale_words(slide: SlideInfo) -> str:
    """Where another µm/px was used than the file says."""
    if slide.stated is None or slide.spacing is None or slide.stated == slide.spacing:
        return ""
    return f", {slide.spacing.mean_um:.4g} µm/px as given, the file says {slide.stated.mean_um:.4g}"
