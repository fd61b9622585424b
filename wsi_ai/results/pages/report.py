"""A slide's report: what was answered, where, how sure, and what was not seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsi_ai.core.contracts import Slide
from wsi_ai.core.flags import Finding, Flag, Status
from wsi_ai.core.values import Heatmap, Marks
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.overlay_layers import class_colour, counted
from wsi_ai.results.pages.gallery import Card, ScaleBar, cards, scale_bar, strongest
from wsi_ai.results.pages.histogram import Histogram, histogram
from wsi_ai.results.pages.layers import Drawn, draw
from wsi_ai.results.pages.origin import provenance, unseen
from wsi_ai.results.pages.page import page, score

NAME, PREVIEW = "report.html", "preview.jpg"
_MOST_REGIONS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What a report shows of the slide itself, taken while it is open."""

    drawn: Drawn | None = None
    """``None`` where a gate stopped the slide before anything of it was looked at."""
    gallery: tuple[Card, ...] = ()
    bar: ScaleBar | None = None


def take_pictures(assessment: Assessment, slide: Slide | None) -> Pictures:
    """Reads at most 12 places of an open slide; none of one that is closed."""
    look, heatmap, flag = assessment.look, assessment.heatmap, assessment.flag
    if look is None:
        return Pictures()
    drawn = draw(look, heatmap, flag, _marks(assessment))
    found = () if heatmap is None or slide is None else _gallery(slide, heatmap, flag)
    return Pictures(drawn, found, scale_bar(flag.slide.spacing, flag.slide.size.width, 0.25))


def _gallery(slide: Slide, heatmap: Heatmap, flag: Flag) -> tuple[Card, ...]:
    objects = None if heatmap.objects is None else counted(heatmap.objects, flag)
    return tuple(cards(slide, strongest(heatmap, flag), objects))


def _marks(assessment: Assessment) -> Marks:
    return assessment.canvas.marks() if assessment.canvas is not None else Marks()


def write_report(
    folder: Path,
    assessment: Assessment,
    pictures: Pictures,
    body: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """``body`` and ``record`` as flag.json and run.json of the same folder have them: the report
    stands and falls with them.  The same result gives the same bytes.  Raises OSError."""
    if pictures.drawn is not None:
        (folder / PREVIEW).write_bytes(pictures.drawn.preview)
    text = report(assessment, pictures, body, record)
    (folder / NAME).write_text(text, "utf-8")


def report(
    assessment: Assessment,
    pictures: Pictures,
    body: Mapping[str, Any],
    record: Mapping[str, Any],
) -> str:
    flag, heatmap = assessment.flag, assessment.heatmap
    return page(
        "report.html",
        "report.js",
        flag=flag,
        body=body,
        layers=pictures.drawn.layers if pictures.drawn else None,
        heatmap=heatmap is not None,
        gallery=pictures.gallery,
        bar=pictures.bar,
        facts=list(_facts(flag, heatmap, body)),
        legend=list(_legend(assessment)),
        shown=_shown(flag, heatmap),
        histogram=_histogram(flag, heatmap),
        classes=list(_classes(assessment)),
        regions=[_region(finding) for finding in flag.findings[:_MOST_REGIONS]],
        more_regions=max(0, len(flag.findings) - _MOST_REGIONS),
        checks=flag.quality.checks if flag.quality else (),
        unseen=list(unseen(assessment, record)),
        provenance=list(provenance(flag, body, record)),
    )


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str
    note: str = ""


def _facts(flag: Flag, heatmap: Heatmap | None, body: Mapping[str, Any]) -> Iterator[Fact]:
    if flag.score is not None:
        yield Fact("Score", score(flag.score), f"threshold {score(flag.threshold)}")
    if flag.planned:
        cells = f"{flag.planned:,} {flag.model.cell_name}s"
        yield Fact("Seen", f"{_percent(flag.coverage)} %", f"of {cells} of tissue")
    failed = (
        [check.name for check in flag.quality.checks if check.status is Status.FAIL]
        if (flag.quality)
        else []
    )
    word = {"pass": "passed", "fail": "failed"}.get(body["qc"]["status"], "not checked")
    yield Fact("Quality", word, ", ".join(failed))
    if heatmap is not None and heatmap.objects is not None:
        number = len(counted(heatmap.objects, flag))
        yield Fact("Counted", f"{number:,}", _per_mm2(number, heatmap))
    elif flag.findings:
        area = sum(finding.area_mm2 for finding in flag.findings)
        yield Fact("Regions", f"{len(flag.findings):,}", f"{area:.2f} mm² together")


def _percent(share: float) -> str:
    """Never rounded up."""
    return f"{np.floor(share * 1000) / 10:g}"


def _per_mm2(number: int, heatmap: Heatmap) -> str:
    area = int(heatmap.assessed.sum()) * heatmap.cell_mm2
    return f"{number / area:,.0f} in each mm² of tissue" if area else ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the layer above the slide means, and its gallery."""

    cell: str
    of: str
    """What a number is."""
    is_score: bool = True
    """It can be compared with the threshold."""
    places: str = "The strongest places"
    rank: str = "highest"
    spread: str = "How the scores lie"


def _shown(flag: Flag, heatmap: Heatmap | None) -> Shown:
    label, cell = flag.model.point.label, flag.model.cell_name
    if heatmap is not None and heatmap.of_slide:
        return Shown(
            cell,
            "attention, least to most on this slide; no probability",
            is_score=False,
            places="Where the model looked most",
            spread="How attention is spread",
        )
    if heatmap is not None and heatmap.objects is not None:
        return Shown(
            cell, f"score of an object: {label}", places="The densest places", rank="densest"
        )
    return Shown(cell, f"{cell} score for {label}")


def _histogram(flag: Flag, heatmap: Heatmap | None) -> Histogram | None:
    """Of objects, where they are counted; else of cells."""
    if heatmap is None:
        return None
    if heatmap.objects is None:
        known = heatmap.known
        return histogram(known[np.isfinite(known)], flag.threshold)
    own = heatmap.objects.classes == flag.model.positive_class
    return histogram(heatmap.objects.scores[own], flag.threshold)


@dataclass(frozen=True, slots=True)
class LegendEntry:
    kind: str
    """``line``, ``dot``, ``box`` or ``ramp``, as the style sheet has them."""
    colour: str
    words: str


def _legend(assessment: Assessment) -> Iterator[LegendEntry]:
    heatmap, flag, marks = assessment.heatmap, assessment.flag, _marks(assessment)
    if assessment.look is None:
        return
    yield LegendEntry("line", "tissue", "tissue")
    if flag.findings:
        yield LegendEntry("line", "region", f"score ≥ {score(flag.threshold)}")
    if heatmap is None:
        return
    if heatmap.objects is not None:
        yield LegendEntry("dot", "region", flag.model.point.label)
    elif marks.classes is not None:
        for n, name in enumerate(heatmap.model.classes):
            yield LegendEntry("box", class_colour(n), name)
    else:
        yield LegendEntry("ramp", "", "attention, least to most" if heatmap.of_slide else "0 to 1")
    if heatmap.missed.any():
        yield LegendEntry("box", "missed", "could not be assessed")


@dataclass(frozen=True, slots=True)
class ClassRow:
    """What there is of a class on the whole slide."""

    name: str
    values: tuple[str, ...]
    is_positive: bool


def _classes(assessment: Assessment) -> Iterator[ClassRow]:
    """Areas of a segmentation, numbers of a detection, scores of a slide classification."""
    heatmap = assessment.heatmap
    if heatmap is None:
        return
    card, classes = heatmap.model, _marks(assessment).classes
    for n, name in enumerate(card.classes):
        values: tuple[str, ...] = ()
        if heatmap.slide_scores is not None:
            values = (score(float(heatmap.slide_scores[n])),)
        elif heatmap.objects is not None:
            own = heatmap.objects.classes == n
            sure = int((own & (heatmap.objects.scores >= assessment.flag.threshold)).sum())
            values = (f"{sure:,}", f"{int(own.sum()) - sure:,}")
        elif classes is not None:
            area = int((classes == n + 1).sum()) * heatmap.cell_mm2
            values = (f"{area:.2f} mm²",)
        if values:
            yield ClassRow(name, values, n == card.positive_class)


@dataclass(frozen=True, slots=True)
class Region:
    x: int
    y: int
    area: str
    peak: float
    mean: float


def _region(finding: Finding) -> Region:
    x, y = np.array(finding.outline).T
    middle = round((x.min() + x.max()) / 2), round((y.min() + y.max()) / 2)
    return Region(*middle, f"{finding.area_mm2:.3g} mm²", finding.peak, finding.mean)
