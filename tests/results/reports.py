"""Reports of slides that have no file."""

import dataclasses
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.examples import PROVENANCE
from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Slide
from wsi_ai.core.flags import Check, Finding, Flag, Quality, Status
from wsi_ai.core.geometry import Size, Step
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.flag_json import flag_json
from wsi_ai.results.pages.report import report, take_pictures
from wsi_ai.testing import MEAN_CARD, PaintedSlide
from wsi_ai.tissue.overview import Overview
from wsi_ai.tissue.thumbnail import Thumbnail
from wsi_ai.triage.judge import TriagePolicy, not_assessed, triage

CELL = 64
CARD = dataclasses.replace(MEAN_CARD, classes=("stroma", "red"), intended_use="Tests.")
GOOD = Quality((Check("focus", 1.0, 0.6, Status.PASS, "share of spots in focus"),), 0.4)
RECORD: Mapping[str, Any] = {
    "software": "wsi_ai 0", "runtime": "none", "question": "0" * 64, "asked": {},
}  # fmt: skip


def painted(rows: int = 24, cols: int = 36) -> PaintedSlide:
    """Of so many cells."""
    return PaintedSlide(Size(cols * CELL, rows * CELL))


def heatmap_of(
    positive: NDArray[np.float32], slide: SlideInfo | None = None, card: ModelCard = CARD
) -> Heatmap:
    """NaN is planned, and was not assessed."""
    scores = np.stack([1 - positive, positive])
    info = slide or painted(*positive.shape).info
    return Heatmap(info, card, scores, Step(CELL, CELL), np.ones(positive.shape, bool))


def random_scores(rows: int = 24, cols: int = 36, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((rows, cols), np.float32)


def look_of(rows: int = 24, cols: int = 36, quality: Quality = GOOD) -> Overview:
    """Pink all over, eight pixels a cell."""
    shape = rows * 8, cols * 8
    pixels = np.full((*shape, 3), (220, 160, 200), np.uint8)
    return Overview(Thumbnail(pixels, np.zeros(shape, bool)), np.ones(shape, bool), quality)


def assessed(heatmap: Heatmap, **changed: Any) -> Assessment:
    """``changed`` is of the flag."""
    flag = dataclasses.replace(triage(heatmap, TriagePolicy(), GOOD), **changed)
    return Assessment(flag, look_of(*heatmap.planned.shape), heatmap=heatmap)


def stopped(reason: str, slide: SlideInfo | None = None) -> Assessment:
    """Before anything of the slide was looked at."""
    info = slide or painted().info
    return Assessment(not_assessed(info, CARD, TriagePolicy(), reason, None))


def report_of(
    assessment: Assessment, slide: Slide | None = None, record: Mapping[str, Any] = RECORD
) -> str:
    """As ``write_results`` makes it."""
    body = flag_json(assessment.flag, PROVENANCE)
    return report(assessment, take_pictures(assessment, slide), body, record)


def example_report(flag: Flag | None = None) -> str:
    made = assessed(heatmap_of(random_scores()))
    return report_of(dataclasses.replace(made, flag=flag or made.flag), painted())


def many_findings(number: int) -> tuple[Finding, ...]:
    """Squares, ten pixels apart."""
    return tuple(
        Finding("red", ((x, y), (x + 8, y), (x + 8, y + 8), (x, y + 8)), (), 0.9, 0.8, 0.001, 1)
        for x, y in ((10 * (n % 200), 10 * (n // 200) % 1500) for n in range(number))
    )


class Skeleton(HTMLParser):
    """A page's elements and attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements = list[tuple[str, tuple[str, ...]]]()
        self.links = list[str]()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("style", "script"):
            self.text += f"{data} "
