"""A benchmark as pictures."""

import io
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsi_ai.bench.report import DISTURBED, FORWARD, WHOLE, Bench, Stage, in_seconds

BLUE, LIGHT, ORANGE, GREY = "#1f5a92", "#b9cbdd", "#c2571a", "#6b737c"
MARKERS = "o", "s", "^", "D", "v", "P"
_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
STYLE: Any = {
    "font.size": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "grid.color": "#d5dae0",
    "legend.frameon": False,
}


def stage_bars(bench: Bench) -> bytes:
    """Each stage's seconds for the whole slide, and how many of them its limit would take; PNG."""
    stages = list(reversed(bench.stages))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.4 + 0.34 * len(stages)), dpi=130, layout="constrained")
        axes = figure.subplots()
        colours = [ORANGE if stage.name == WHOLE else LIGHT for stage in stages]
        rows = range(len(stages))
        axes.barh(rows, [stage.slide_s for stage in stages], color=colours, height=0.7)
        limited = [(row, s) for row, s in zip(rows, stages, strict=True) if _is_limited(s)]
        axes.barh(
            [row for row, _ in limited],
            [stage.slide_s * (stage.share or 0) for _, stage in limited],
            color=BLUE,
            height=0.3,
            label="what the limit takes",
        )
        for row, stage in zip(rows, stages, strict=True):
            end = (
                stage.slide_s * max(1.0, stage.share or 0) if _is_limited(stage) else stage.slide_s
            )
            axes.annotate(_words(stage), (end, row), va="center", fontsize=8, color=GREY)
        axes.set_yticks(list(rows), [stage.name for stage in stages])
        _log_seconds(axes, [stage.slide_s for stage in stages])
        figure.legend(loc="outside lower center")
        axes.set_title("Each stage alone, seconds for the whole slide", loc="left")
        return png(figure)


def _is_limited(stage: Stage) -> bool:
    return stage.share is not None and stage.share <= DISTURBED


def _words(stage: Stage) -> str:
    share = "" if stage.share is None else f", {stage.share:.2f} of limit"
    if stage.share is not None and not _is_limited(stage):
        share = ", limit disturbed"
    return f" {in_seconds(stage.slide_s)}{share}{', machine busy' if stage.own.is_busy else ''}"


def _log_seconds(axes: Axes, seconds: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 2, max(seconds) * 100)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    axes.grid(visible=True, axis="x")


def roofline(bench: Bench) -> bytes | None:
    """The forward pass under the two roofs of the machine: matrix products, and memory; PNG.

    Bytes are the least that there can be: weights once a batch, and each tile once.  The roof of
    products is that of fp32; other precisions may be above it.  ``None`` where the network's
    operations are not known.
    """
    one_tile = bench.model.get("operations_a_tile")
    points = [stage for stage in bench.stages if stage.name.startswith(FORWARD)]
    if not one_tile or not points:
        return None
    tile_bytes = 3 * bench.work["size_px"] ** 2
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.4), dpi=130, layout="constrained")
        axes = figure.subplots()
        found = [
            (
                one_tile * s.amount / (_weights_bytes(bench, s) + tile_bytes * s.amount),
                one_tile * s.amount,
                s,
            )
            for s in points
        ]
        best = max(_best_products(operations, stage) for _, operations, stage in found)
        roof = max(bench.rates["matrix_products_per_s"], best)
        _roofs(axes, bench, roof / 1e9, [intensity for intensity, _, _ in found])
        for turn, (intensity, operations, stage) in enumerate(found):
            rate = operations / stage.own.median_s / 1e9
            words = stage.name.removeprefix(FORWARD)
            marker = MARKERS[turn % len(MARKERS)]
            axes.plot([intensity], [rate], marker, color=ORANGE, label=words)
        axes.legend(loc="lower right")
        axes.set_xlabel("operations per byte (weights once a batch, each tile once)")
        axes.set_ylabel("10⁹ operations a second")
        rates = [operations / stage.own.median_s for _, operations, stage in found]
        axes.set_ylim(min(*rates, roof) / 1e10, 3 * max(*rates, roof) / 1e9)
        in_fp32 = [r for r, (_, _, s) in zip(rates, found, strict=True) if _precision(s) == "fp32"]
        disturbed = "; the roof was disturbed" if max([0, *in_fp32]) > DISTURBED * roof else ""
        axes.set_title(f"The forward pass under the machine's roofs{disturbed}", loc="left")
        return png(figure)


def _precision(stage: Stage) -> str:
    return stage.name.removeprefix(FORWARD).partition(",")[0]


def _weights_bytes(bench: Bench, stage: Stage) -> float:
    """The file's, in the number format of the stage."""
    own = _BYTES[bench.settings["precision"]]
    return float(bench.model["weights_bytes"] * _BYTES[_precision(stage)] / own)


def _best_products(operations: float, stage: Stage) -> float:
    """A roof is the most that was ever seen."""
    return 0.0 if stage.limit is None else operations / min(stage.limit.times.seconds)


def _roofs(axes: Axes, bench: Bench, peak: float, at: list[float]) -> None:
    memory = bench.rates["copied_bytes_per_s"] / 1e9
    low, high = min(*at, peak / memory) / 3, max(*at, peak / memory) * 5
    axes.plot([low, peak / memory, high], [low * memory, peak, peak], color=BLUE, label="the roofs")
    axes.annotate(
        f"matrix products, {peak:.3g}", (peak / memory, peak), (4, 6), textcoords="offset points"
    )
    axes.annotate(
        f"memory, {memory:.3g} GB/s copied", (low, low * memory), (8, 0), textcoords="offset points"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.grid(visible=True)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
