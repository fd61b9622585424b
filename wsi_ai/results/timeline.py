"""A run as a picture: stages over time, a row for each, with every slide in its turn."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from wsi_ai.core.timing import STAGE_OF, Stage
from wsi_ai.errors import OutputError

_COLOURS: Mapping[Stage, tuple[str, str]] = {
    Stage.LOOKING: ("#1b6ca8", "#6aaedb"),
    Stage.READING: ("#2a7f3f", "#7cc48a"),
    Stage.INFERENCE: ("#b35900", "#f2a65a"),
    Stage.WRITING: ("#5b3a8c", "#a88bd1"),
}
"""Two shades for each stage, so that neighbouring slides can be distinguished."""
_FAILED, _IDLE = "#c01c28", "#d9d9d9"
_ROW, _BAR = 1.0, 0.62
_MOST_LABELS = 40
Interval = tuple[float, float]


def write_timeline(path: Path, run: Mapping[str, Any]) -> None:
    """``run`` is a run's record, see ``runs``; ``path`` a PNG.  Raises OutputError."""
    devices = [one["device"] for one in run["by_device"]]
    figure = Figure(figsize=(13, 1.6 + 1.9 * max(1, len(devices))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, device in enumerate(devices):
        _draw_device(axes, row, [s for s in run["slides"] if s["device"] == device])
    _label(axes, run, devices)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    except ValueError as error:  # the suffix
        raise OutputError(f"{path}: {error}") from None


def _draw_device(axes: Axes, row: int, slides: Sequence[Mapping[str, Any]]) -> None:
    for turn, slide in enumerate(s for s in slides if s["spans"]):
        for stage in Stage:
            y = _y(row, stage)
            whole = list(_held(slide, stage))
            shade = _COLOURS[stage][turn % 2]
            busy = [part for one in whole for part in _without(one, _idle(slide, stage))]
            edge = _FAILED if slide["level"] == "not_assessed" else "none"
            axes.broken_barh(_widths(whole), (y - _BAR / 2, _BAR), color=_IDLE)
            axes.broken_barh(
                _widths(busy), (y - _BAR / 2, _BAR), facecolor=shade, edgecolor=edge, linewidth=1.5
            )
            if whole and len(slides) <= _MOST_LABELS:
                _number(axes, turn + 1, stage, ((whole[0][0] + whole[-1][1]) / 2, y), slide)


def _number(
    axes: Axes, number: int, stage: Stage, middle: Interval, slide: Mapping[str, Any]
) -> None:
    """Drawn on a slide's inference; above its overview where the slide was not assessed."""
    x, y = middle
    if stage is Stage.INFERENCE:
        axes.text(x, y, str(number), ha="center", va="center", fontsize=9)
    elif stage is Stage.LOOKING and slide["level"] == "not_assessed":
        top = y + _BAR / 2
        axes.text(x, top, str(number), ha="center", va="bottom", fontsize=9, color=_FAILED)


def _y(row: int, stage: Stage) -> float:
    stages = list(Stage)
    return -(row * (len(stages) + 0.5) + stages.index(stage)) * _ROW


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


def _widths(intervals: Iterable[Interval]) -> list[Interval]:
    return [(start, end - start) for start, end in intervals if end > start]


def _label(axes: Axes, run: Mapping[str, Any], devices: Sequence[str]) -> None:
    rows = [(row, stage) for row in range(len(devices)) for stage in Stage]
    names = [f"{devices[row]}  {stage}" if len(devices) > 1 else str(stage) for row, stage in rows]
    axes.set_yticks([_y(row, stage) for row, stage in rows], names)
    axes.set_xlabel("seconds since the run began")
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#e6e6e6")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    count = len(run["slides"])
    axes.set_title(
        f"{count} slide{'s' * (count != 1)}; {run['limit']} was the limit,"
        f" busy {run['efficiency']:.1%} of {run['wall_s'] / max(1, len(devices)):.1f} s",
        loc="left",
    )
    axes.legend(
        handles=[
            Patch(color=_IDLE, label="the stage waits for the one beside it"),
            Patch(facecolor="none", edgecolor=_FAILED, label="a slide that was not assessed"),
            Patch(
                color="none", label="numbers: slides in their order; shades tell neighbours apart"
            ),
        ],
        loc="upper left",
        bbox_to_anchor=(0, -0.12 if len(devices) > 1 else -0.18),
        ncols=3,
        frameon=False,
    )
