"""How rates, times and memory go with one property: threads, batch, tile size, slide size."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wsi_ai.bench.laws import decode_stages, gigapixels_of, with_most_threads
from wsi_ai.bench.plots import BLUE, GREY, MARKERS, ORANGE, STYLE, png
from wsi_ai.bench.report import FORWARD, READ, TILES, Bench, Stage, setting_of

Point = tuple[float, float]
_SAME_TISSUE = 0.05
_COLOURS = BLUE, ORANGE, "#2a7f3f", "#5b3a8c", "#8a6d00"


@dataclass(frozen=True, slots=True)
class Series:
    """Points that are joined."""

    name: str
    points: Sequence[Point]
    is_perfect: bool = False
    """A line to compare with, and no measurement."""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    across: str
    up: str
    series: Sequence[Series]

    @property
    def is_worth_it(self) -> bool:
        """Two different places along the axis, or more."""
        return len({x for one in self.series for x, _ in one.points}) > 1


def scaling_plots(benches: Sequence[Bench]) -> Iterator[tuple[str, bytes]]:
    """Names and PNGs of those for which the results hold two settings or more."""
    busy = any(stage.own.is_busy for bench in benches for stage in bench.stages)
    for name, panels in (
        ("threads", [_threads(benches)]),
        ("batch", [_batch(benches)]),
        ("tile-size", [_tile_size(benches)]),
        ("slide-size", [_seconds(benches), _memory(benches)]),
        ("slides", _several(benches)),
    ):
        worth = [panel for panel in panels if panel.is_worth_it]
        if worth:
            yield name, _drawn(worth, busy=busy)


def _threads(benches: Sequence[Bench]) -> Panel:
    """Of the first result's size: rates beside that of one thread."""
    first = with_most_threads(benches)[0]
    alike = [b for b in benches if b.work["width_px"] == first.work["width_px"]]
    decode: list[Point] = [(setting_of(s.name), _rate(s)) for b in alike for s in decode_stages(b)]
    read = _over_threads(alike, lambda bench: bench.stage(READ))
    forward = _over_threads(alike, lambda bench: bench.forward)
    named: dict[str, list[Point]] = {"decode": decode, READ: read, "forward": forward}
    series = [
        Series(name, _beside_one(points)) for name, points in named.items() if _has_one(points)
    ]
    most = max((x for one in series for x, _ in one.points), default=1)
    perfect = Series("as many times as threads", [(1, 1), (most, most)], is_perfect=True)
    return Panel("Threads", "threads", "rate, times that of one thread", [perfect, *series])


def _over_threads(benches: Sequence[Bench], of: Callable[[Bench], Stage | None]) -> list[Point]:
    found = [(bench.settings["threads"], of(bench)) for bench in benches]
    return [(threads, _rate(stage)) for threads, stage in found if stage is not None]


def _has_one(points: Sequence[Point]) -> bool:
    return len({x for x, _ in points}) > 1 and min(x for x, _ in points) == 1


def _beside_one(points: Sequence[Point]) -> list[Point]:
    """The best of each number of threads."""
    best = dict(_one_each(points, max))
    return [(x, rate / best[1]) for x, rate in best.items()]


def _one_each(points: Sequence[Point], of: Callable[[list[float]], float]) -> list[Point]:
    """In order, one of those that lie above each other."""
    places = sorted({x for x, _ in points})
    return [(x, of([y for at, y in points if at == x])) for x in places]


def _rate(stage: Stage) -> float:
    return stage.amount / min(stage.own.seconds)


def _batch(benches: Sequence[Bench]) -> Panel:
    """By precision, of the first result."""
    stages = [s for s in with_most_threads(benches)[0].stages if s.name.startswith(FORWARD)]
    kinds = list(dict.fromkeys(stage.name.split(", ")[1] for stage in stages))
    series = [
        Series(
            kind,
            [
                (setting_of(stage.name), stage.amount / stage.own.median_s)
                for stage in stages
                if f" {kind}," in stage.name
            ],
        )
        for kind in kinds
    ]
    return Panel("Forward pass", "tiles in a batch", "tiles a second", series)


def _tile_size(benches: Sequence[Bench]) -> Panel:
    """Of the first result; in pixels, for a large tile holds more of them."""
    first = with_most_threads(benches)[0]
    found = [(setting_of(s.name), s) for s in first.stages if s.name.startswith(TILES)]
    if (own := first.stage(READ)) is not None:
        found.append((first.work["size_px"], own))
    found.sort(key=lambda one: one[0])
    names = "read into batches", "each stored tile decoded once"
    own_rates = [(side, _megapixels(side, stage, stage.own.median_s)) for side, stage in found]
    limits = [
        (side, _megapixels(side, stage, stage.limit.times.median_s))
        for side, stage in found
        if stage.limit is not None
    ]
    series = [Series(name, points) for name, points in zip(names, (own_rates, limits), strict=True)]
    return Panel("Reading by tile size", "pixels along a tile", "10⁶ pixels a second", series)


def _megapixels(side: int, stage: Stage, seconds: float) -> float:
    return side**2 * stage.amount / seconds / 1e6


def _seconds(benches: Sequence[Bench]) -> Panel:
    names = "hash", "look", READ, "results"
    alike = _of_one_tissue(benches)
    found = {name: [(b, b.stage(name)) for b in alike] for name in names}
    found["forward"] = [(b, b.forward) for b in alike]
    series = [
        Series(name, _one_each([(gigapixels_of(b), s.slide_s) for b, s in pairs if s], min))
        for name, pairs in found.items()
    ]
    return Panel("Time by slide size", "10⁹ pixels", "seconds a slide, each stage alone", series)


def _memory(benches: Sequence[Bench]) -> Panel:
    points = [
        (gigapixels_of(bench), one.peak_mib)
        for bench in _of_one_tissue(benches)
        for one in bench.processes
        if one.slides == 1
    ]
    series = [Series("peak of a run", _one_each(points, max))]
    return Panel("Memory by slide size", "10⁹ pixels", "MiB", series)


def _of_one_tissue(benches: Sequence[Bench]) -> list[Bench]:
    """Those with about as much tissue as most: a slide of another size never has just as much."""
    alike = with_most_threads(benches)
    usual = statistics.median(bench.work["tissue_share"] for bench in alike)
    return [bench for bench in alike if abs(bench.work["tissue_share"] - usual) < _SAME_TISSUE]


def _several(benches: Sequence[Bench]) -> list[Panel]:
    sizes = {bench.work["width_px"] for bench in benches if bench.work.get("slides", 1) > 1}
    runs = [
        one
        for bench in _of_one_tissue(benches)
        for one in bench.processes
        if bench.work["width_px"] in sizes
    ]
    wall = Series(
        "from the command to its end", _one_each([(r.slides, r.wall_s) for r in runs], min)
    )
    peak = Series("peak of the run", _one_each([(r.slides, r.peak_mib) for r in runs], max))
    return [
        Panel("Several slides in one run", "slides", "seconds", [wall]),
        Panel("Their memory", "slides", "MiB", [peak]),
    ]


def _drawn(panels: Sequence[Panel], *, busy: bool) -> bytes:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * len(panels), 4.4), dpi=130, layout="constrained")
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(places, panels, strict=True):
            _draw(axes, panel)
        if busy:
            words = "others kept the machine busy in some stages: seconds are upper bounds"
            figure.supxlabel(words, fontsize=8, color=GREY)
        return png(figure)


def _draw(axes: Axes, panel: Panel) -> None:
    measured = [one for one in panel.series if one.points and not one.is_perfect]
    for turn, one in enumerate(measured):
        x, y = zip(*one.points, strict=True)
        marker, colour = MARKERS[turn % len(MARKERS)], _COLOURS[turn % len(_COLOURS)]
        axes.plot(x, y, f"{marker}-", color=colour, label=one.name)
    for one in panel.series:
        if one.is_perfect:
            axes.plot(*zip(*one.points, strict=True), "--", color=GREY, label=one.name)
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel(panel.across)
    axes.set_ylabel(panel.up)
    places = [x for one in panel.series for x, _ in one.points]
    axes.set_ylim(0, 1.08 * max(y for one in panel.series for _, y in one.points))
    axes.set_xlim(0, 1.05 * max(places))
    if all(float(x).is_integer() for x in places):
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.grid(visible=True)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
