"""One look for all plots, and SVG that can stand in a page beside others."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY, LIGHT, INK = "#1f5a92", "#c2571a", "#8a929b", "#d5dae0", "#1d2733"
WIDTH_IN = 7.2
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "wsi_ai",
}


class Drawing:
    """A figure that is drawn on, and then is text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.svg = ""


@contextmanager
def drawing(
    name: str, height_in: float, width_in: float = WIDTH_IN
) -> Iterator[tuple[Drawing, Axes]]:
    """Axes to draw on; ``name`` makes the ids of this plot its own in a page."""
    made = Drawing(name)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        yield made, figure.subplots()
        made.svg = _svg(figure, name)


def figure_axes(axes: Axes) -> Figure:
    figure = axes.get_figure()
    if not isinstance(figure, Figure):
        raise TypeError("axes are on a figure")
    return figure


def percent_axis(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def _svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', _opening, text, count=1)
    return re.sub(r"font: ([0-9.]+px)[^;\"]*", r"font: \1 sans-serif", text)


def _opening(match: re.Match[str]) -> str:
    """The page says what it shows, in the figure's own words; so it is no picture of its own."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' viewBox="{match.group(1)}" aria-hidden="true" focusable="false">'
    )
