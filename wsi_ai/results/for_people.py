"""What a slide's folder has for people: pictures and pages.

It draws and renders with libraries that take a quarter of a second to load
and that nothing before the first slide's end needs: so ``results.slide`` loads this module late.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_ai.core.contracts import Slide
from wsi_ai.core.values import Marks
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.overlay import OverlayInput, write_overlay
from wsi_ai.results.pages.pdf import write_pdf
from wsi_ai.results.pages.report import take_pictures, write_report
from wsi_ai.results.pages.wanted import Pages
from wsi_ai.results.thumbnail import write_thumbnail
from wsi_ai.tissue.overview import Overview


def write_pictures(folder: Path, assessment: Assessment, look: Overview) -> None:
    """Raises OSError."""
    marks = assessment.canvas.marks() if assessment.canvas is not None else Marks()
    shown = OverlayInput(look.thumbnail, look.tissue, assessment.heatmap, assessment.flag, marks)
    write_overlay(folder / "overlay.png", shown)
    write_thumbnail(folder / "thumbnail.jpg", look.thumbnail)


class SlidePages:
    """A slide's pages: they say what flag.json and run.json say, so they are written again where
    these come to say more."""

    def __init__(
        self, folder: Path, assessment: Assessment, slide: Slide | None, pages: Pages
    ) -> None:
        self._folder, self._assessment, self._pages = folder, assessment, pages
        wanted = pages is not Pages.NONE
        self._pictures = take_pictures(assessment, slide) if wanted else None

    def write(self, body: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        if self._pictures is not None:
            write_report(self._folder, self._assessment, self._pictures, body, record)
        if self._pages is Pages.REPORT_AND_PDF:
            write_pdf(self._folder)
