"""A picture for people: the slide, what the model made of it, and what that means."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from wsi_ai.cards import Task
from wsi_ai.flags import STATEMENT, Flag, Level
from wsi_ai.thumbnail import Thumbnail
from wsi_ai.values import Heatmap, Marks, Mask, Objects

_LONG_SIDE_IN, _DPI = 9.0, 150
_COLOURS = colormaps["viridis"]  # perceptually even, and safe for the colour-blind
_OUTLINE, _REGION, _MISSED = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito 2008
_CLASSES = ("#CC79A7", "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#F0E442")
_MOST_CELLS = 1500
"""Along a side; the picture has no more pixels."""
_BANNER = {
    Level.EXPEDITE: ("EXPEDITE", "#D55E00"),
    Level.STANDARD: ("STANDARD", "#0072B2"),
    Level.NOT_ASSESSED: ("NOT ASSESSED", "#555555"),
}
_QUICKLY = {"compress_level": 1}
"""Of PNG: a third of the time that it takes to write a slide's results goes into level 6."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What an overlay shows.  No heatmap where a gate stopped the slide."""

    thumbnail: Thumbnail
    tissue: Mask
    heatmap: Heatmap | None
    flag: Flag
    marks: Marks = field(default_factory=Marks)


def write_overlay(path: Path, view: View) -> None:
    """Write the overlay as PNG.  Axes are level-0 pixels; nothing on it names the slide."""
    rows, cols = view.tissue.shape
    side = _LONG_SIDE_IN / max(rows, cols)
    figure = Figure(figsize=(max(cols * side, 5.0) + 2.0, max(rows * side, 3.0) + 2.0), dpi=_DPI)
    axes = figure.add_axes((0.03, 0.1, 0.80, 0.78))
    _draw_slide(axes, view)
    if view.heatmap is not None:
        _draw_heatmap(figure, axes, view.heatmap, view)
    _draw_regions(axes, view.flag)
    _draw_scale_bar(axes, view)
    _draw_legend(axes, view)
    _draw_words(figure, view.flag)
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(path, pil_kwargs=_QUICKLY)  # type: ignore[no-untyped-call]
    figure.clear()  # its parts hold one another: without this they stay until the next collection


def _draw_slide(axes: Axes, view: View) -> None:
    size = view.flag.slide.size
    extent = (0, size.width, size.height, 0)
    axes.imshow(_as_drawn(view.thumbnail.pixels), extent=extent, interpolation="antialiased")
    every = -(-max(view.tissue.shape) // _MOST_CELLS)
    axes.contour(
        view.tissue[::every, ::every].astype(np.uint8),
        [0.5],
        colors=_OUTLINE,
        linewidths=0.6,
        extent=extent,
        origin="upper",
    )
    axes.set(xlim=(0, size.width), ylim=(size.height, 0), xticks=[], yticks=[])
    axes.set_anchor("W")


def _as_drawn(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """No larger than it is drawn: matplotlib turns all of it into doubles."""
    scale = _LONG_SIDE_IN * _DPI / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _draw_heatmap(figure: Figure, axes: Axes, heatmap: Heatmap, view: View) -> None:
    """Objects where they were looked for, classes where each place has one, else scores."""
    if heatmap.objects is not None:
        _draw_cells(axes, heatmap, np.zeros((*heatmap.planned.shape, 4)))
        _draw_objects(axes, heatmap.objects, view.flag)
    elif view.marks.classes is not None:
        _draw_classes(axes, heatmap, view.marks.classes)
    else:
        _draw_scores(axes, heatmap)
        _draw_colour_bar(figure, view.flag)


def _draw_classes(axes: Axes, heatmap: Heatmap, classes: NDArray[np.uint8]) -> None:
    """The positive class in full, the others pale."""
    names, every = heatmap.model.classes, -(-max(classes.shape) // _MOST_CELLS)
    colours = np.zeros((1 + len(names), 4))
    for n in range(len(names)):
        alpha = 0.65 if n == heatmap.model.positive_class else 0.25
        colours[1 + n] = to_rgba(_CLASSES[n % len(_CLASSES)], alpha)
    _draw_cells(axes, heatmap, colours[classes[::every, ::every]], every)


def _draw_objects(axes: Axes, objects: Objects, flag: Flag) -> None:
    """Those that count, each a dot."""
    x, y = _counted(objects, flag).middles.T
    axes.plot(x, y, ".", color=_REGION, markersize=2, markeredgewidth=0)


def _counted(objects: Objects, flag: Flag) -> Objects:
    own = objects.classes == flag.model.positive_class
    return objects.only(own & (objects.scores >= flag.threshold))


def _draw_scores(axes: Axes, heatmap: Heatmap) -> None:
    """Colour says how much, opacity keeps the tissue readable where there is little."""
    layer = heatmap.shown
    rgba = _COLOURS(np.nan_to_num(layer))
    rgba[..., 3] = np.where(heatmap.assessed, 0.12 + 0.48 * np.nan_to_num(layer), 0)
    _draw_cells(axes, heatmap, rgba)


def _draw_cells(axes: Axes, heatmap: Heatmap, rgba: NDArray[np.float64], every: int = 1) -> None:
    """(rows, cols, 4), one for ``every`` cells along a side; grey where one of them could not be
    assessed."""
    row, col = (index // every for index in np.nonzero(heatmap.missed))
    rgba[row, col] = to_rgba(_MISSED, 0.7)
    rows, cols = (side * every for side in rgba.shape[:2])
    extent = (0, cols * heatmap.step.x, rows * heatmap.step.y, 0)
    axes.imshow((rgba * 255).round().astype(np.uint8), extent=extent, interpolation="nearest")


def _draw_regions(axes: Axes, flag: Flag) -> None:
    rings = [ring for finding in flag.findings for ring in (finding.outline, *finding.holes)]
    closed = [(*ring, ring[0]) for ring in rings]
    axes.add_collection(LineCollection(closed, colors=_REGION, linewidths=1.4))


def _draw_colour_bar(figure: Figure, flag: Flag) -> None:
    axes = figure.add_axes((0.86, 0.3, 0.022, 0.45))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), _COLOURS), cax=axes)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1])
    if flag.model.task is Task.SLIDE_CLASSIFICATION:
        bar.set_label("attention, least to most on this slide; no probability", fontsize=8)
    else:
        bar.ax.axhline(flag.threshold, color=_REGION, linewidth=2)
        bar.set_label(f"{flag.model.cell_name} score for {flag.model.point.label}", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_scale_bar(axes: Axes, view: View) -> None:
    slide = view.flag.slide
    if slide.spacing is None:
        return
    width_um = slide.size.width * slide.spacing.x_um
    round_lengths = [d * 10.0**e for e in range(6) for d in (1, 2, 5)]
    length_um = max(length for length in round_lengths if length <= max(width_um / 4, 1))
    length, x, y = length_um / slide.spacing.x_um, slide.size.width * 0.03, slide.size.height * 0.97
    axes.plot([x, x + length], [y, y], color="black", linewidth=3, solid_capstyle="butt")
    text = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    axes.text(x, y - slide.size.height * 0.01, text, fontsize=8, va="bottom")


def _draw_legend(axes: Axes, view: View) -> None:
    entries: list[Any] = [Line2D([], [], color=_OUTLINE, linewidth=0.8, label="tissue")]
    if view.heatmap is not None and view.heatmap.objects is not None:
        found = len(_counted(view.heatmap.objects, view.flag))
        text = f"{found} objects: {view.flag.model.point.label}"
        entries.append(Line2D([], [], color=_REGION, marker=".", linewidth=0, label=text))
    if view.flag.findings:
        text = f"score ≥ {view.flag.threshold:.2f}"
        entries.append(Line2D([], [], color=_REGION, linewidth=1.4, label=text))
    if view.heatmap is not None and view.marks.classes is not None:
        for n, name in enumerate(view.heatmap.model.classes):
            entries.append(Patch(color=_CLASSES[n % len(_CLASSES)], label=name))
    if view.heatmap is not None and view.heatmap.missed.any():
        entries.append(Patch(color=to_rgba(_MISSED, 0.7), label="could not be assessed"))
    axes.legend(handles=entries, fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1.0))


def _draw_words(figure: Figure, flag: Flag) -> None:
    word, colour = _BANNER[flag.level]
    figure.text(0.03, 0.95, word, fontsize=17, weight="bold", color=colour, va="center")
    figure.text(0.03, 0.905, flag.reason, fontsize=8, va="center", wrap=True)
    figure.text(0.03, 0.055, STATEMENT, fontsize=9, weight="bold", va="center")
    ref = flag.model.ref
    facts = (
        f"model {ref.name} {ref.version} ({ref.sha256[:8]}), policy {flag.policy},"
        f" {flag.coverage:.1%} of {flag.planned} planned {flag.model.cell_name}s assessed,"
        f" slide {flag.slide.fingerprint[:8]}"
    )
    figure.text(0.03, 0.025, facts, fontsize=7, va="center", color="#333333")
