"""A run as a picture: stages over time, a row each, every slide in its order."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from wsi_ai.core.timing import STAGE_OF, Stage
from wsi_ai.core.wording import counted
from wsi_ai.errors import OutputError
from wsi_ai.results.lettering import cut_to, font

_COLOURS: Mapping[Stage, tuple[str, str]] = {
    Stage.LOOKING: ("#1b6ca8", "#6aaedb"),
    Stage.READING: ("#2a7f3f", "#7cc48a"),
    Stage.INFERENCE: ("#b35900", "#f2a65a"),
    Stage.WRITING: ("#5b3a8c", "#a88bd1"),
}
"""Two shades each, so that neighbouring slides are told apart."""
_FAILED, _IDLE, _GRID = "#c01c28", "#d9d9d9", "#e6e6e6"
_WIDE, _LEFT, _RIGHT, _TOP, _BELOW = 1950, 210, 40, 120, 160
_ROW, _BAR, _GAP = 72, 44, 36
"""Pixels: from row to row, of a bar, and more between devices."""
_LETTERS, _TITLE = 24, 28
_MOST_NAMED = 20
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where seconds and rows lie on the picture."""

    draw: ImageDraw.ImageDraw
    end_s: float

    def x(self, at_s: float) -> float:
        return _LEFT + (_WIDE - _LEFT - _RIGHT) * at_s / self.end_s

    def bar(self, interval: Interval, middle: float, colour: str) -> None:
        left, right = (self.x(at_s) for at_s in interval)
        box = (left, middle - _BAR / 2, max(left + 1, right), middle + _BAR / 2)
        self.draw.rectangle(box, colour)


def write_timeline(path: Path, run: Mapping[str, Any]) -> None:
    """``run`` is a run's record, see ``run.run_record``; ``path`` a PNG.  Raises OutputError."""
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: the picture is a .png")
    devices = [one["device"] for one in run["by_device"]]
    bottom = _middle(max(0, len(devices) - 1), Stage.WRITING) + _ROW / 2
    sheet = Image.new("RGB", (_WIDE, round(bottom + _BELOW)), "white")
    axes = _Axes(ImageDraw.Draw(sheet), _end_s(run))
    _draw_seconds(axes, bottom)
    for row, device in enumerate(devices):
        numbered = enumerate(run["slides"], 1)
        _draw_device(axes, row, [(n, s) for n, s in numbered if s["device"] == device])
    _draw_words(axes.draw, run, devices, bottom)
    try:
        sheet.save(path, "PNG")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def _end_s(run: Mapping[str, Any]) -> float:
    ends = [end for s in run["slides"] for stage in Stage for _, end in _held(s, stage)]
    return max([*ends, 1e-3])


def _has_no_answer(slide: Mapping[str, Any]) -> bool:
    return slide["level"] == "not_assessed" or slide.get("embedded", 0) is None


def _draw_device(axes: _Axes, row: int, slides: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Bars, and on those of inference the slides' numbers, where there is room."""
    for order, (number, slide) in enumerate(slides):
        for stage in Stage:
            middle = _middle(row, stage)
            colour = _FAILED if _has_no_answer(slide) else _COLOURS[stage][order % 2]
            whole = list(_held(slide, stage))
            for interval in whole:
                axes.bar(interval, middle, _IDLE)
                for part in _without(interval, _idle(slide, stage)):
                    axes.bar(part, middle, colour)
            if whole and stage is Stage.INFERENCE:
                _number(axes, number, (whole[0][0], whole[-1][1]), middle)


def _number(axes: _Axes, number: int, interval: Interval, middle: float) -> None:
    left, right = map(axes.x, interval)
    text, letters = str(number), font(_LETTERS)
    if letters.getlength(text) + 6 <= right - left:
        at = ((left + right) / 2, middle)
        axes.draw.text(at, text, "black", letters, "mm", stroke_width=3, stroke_fill="white")


def _failed_words(slides: Sequence[Mapping[str, Any]]) -> str:
    """Which were not assessed, by their numbers in the run's order."""
    numbers = [n for n, slide in enumerate(slides, 1) if _has_no_answer(slide)]
    shown = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return (
        f"not assessed: {counted(len(numbers), 'slide')} (number {shown}{more})" if numbers else ""
    )


def _middle(row: int, stage: Stage) -> float:
    stages = list(Stage)
    return _TOP + _ROW / 2 + row * (len(stages) * _ROW + _GAP) + stages.index(stage) * _ROW


def _held(slide: Mapping[str, Any], stage: Stage) -> Iterator[Interval]:
    """When the stage had the slide, whether busy or not."""
    flow = slide["tiles"]
    if stage is Stage.READING and flow:
        yield flow["start_s"], flow["end_s"]
    for span in slide["spans"]:
        if STAGE_OF.get(span["stage"]) is stage:
            yield span["start_s"], span["end_s"]


def _idle(slide: Mapping[str, Any], stage: Stage) -> list[Interval]:
    flow = slide["tiles"] or {"waits": [], "stands": []}
    found = {Stage.INFERENCE: flow["waits"], Stage.READING: flow["stands"]}.get(stage, [])
    return [(start, end) for start, end in found]


def _without(whole: Interval, idle: Iterable[Interval]) -> Iterator[Interval]:
    """What is left of ``whole`` without the idle intervals, which are in order."""
    at = whole[0]
    for start, end in idle:
        if start > at:
            yield at, min(start, whole[1])
        at = max(at, end)
    if at < whole[1]:
        yield at, whole[1]


def _draw_seconds(axes: _Axes, bottom: float) -> None:
    """Lines at round numbers of seconds, about ten of them."""
    rough = axes.end_s / 10
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    for n in range(int(axes.end_s / step) + 1):
        x = axes.x(n * step)
        axes.draw.line((x, _TOP, x, bottom), _GRID, 2)
        axes.draw.text((x, bottom + 10), f"{n * step:g}", "black", font(_LETTERS), "ma")
    axes.draw.line((_LEFT, bottom, _WIDE - _RIGHT, bottom), "black", 2)
    middle = (_LEFT + _WIDE - _RIGHT) / 2
    axes.draw.text(
        (middle, bottom + 46), "seconds since the run began", "black", font(_LETTERS), "ma"
    )


def _draw_words(
    draw: ImageDraw.ImageDraw, run: Mapping[str, Any], devices: Sequence[str], bottom: float
) -> None:
    title = (
        f"{counted(len(run['slides']), 'slide')}; {run['limit']} was the limit,"
        f" busy {run['efficiency']:.1%} of {run['wall_s'] / max(1, len(devices)):.1f} s"
    )
    draw.text((_LEFT, 24), title, "black", font(_TITLE))
    failed = cut_to(_failed_words(run["slides"]), font(_LETTERS), _WIDE - _LEFT - _RIGHT)
    draw.text((_LEFT, 66), failed, _FAILED, font(_LETTERS))
    for row, device in enumerate(devices):
        if len(devices) > 1:
            above = _middle(row, Stage.LOOKING) - _ROW / 2 - 4
            draw.text(
                (14, above), cut_to(device, font(_LETTERS), _WIDE), "black", font(_LETTERS), "lm"
            )
        for stage in Stage:
            at = (_LEFT - 14, _middle(row, stage))
            draw.text(at, str(stage), "black", font(_LETTERS), "rm")
    _draw_legend(draw, bottom + 112)


def _draw_legend(draw: ImageDraw.ImageDraw, y: float) -> None:
    x, letters = float(_LEFT), font(_LETTERS)
    for fill, words in (
        (_IDLE, "waiting for another stage"),
        (_FAILED, "not assessed"),
        (None, "numbers and shades: slides in their order"),
    ):
        if fill:
            draw.rectangle((x, y - 14, x + 40, y + 14), fill)
            x += 52
        draw.text((x, y), words, "black", letters, "lm")
        x += letters.getlength(words) + 60
