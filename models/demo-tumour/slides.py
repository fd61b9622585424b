"""Synthetic slides as files: every size of a seed, with and without tumour.

What is fine on a slide hangs on the seed alone, so it is made once for all slides of a seed.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2

from wsi_ai.demo import SampleSpec
from wsi_ai.demo.atlases import Atlases, make_atlases
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.svs import write_svs
from wsi_ai.demo.truth import truth_of

SIZES_PX = (2048, 4096, 8192, 16_384)


@dataclass(frozen=True)
class SlideFile:
    """A slide in a folder, and its truth (GeoJSON) beside it."""

    folder: Path
    spec: SampleSpec

    @property
    def path(self) -> Path:
        kind = "tumour" if self.spec.tumour else "free"
        return self.folder / f"{kind}-{self.spec.size_px}-{self.spec.seed}.svs"

    @property
    def truth(self) -> Path:
        return self.path.with_suffix(".geojson")


def slides_of(folder: Path, seed: int, sizes_px: tuple[int, ...] = SIZES_PX) -> list[SlideFile]:
    return [
        SlideFile(folder, SampleSpec(size_px=size, seed=seed, tumour=tumour))
        for size in sizes_px
        for tumour in (False, True)
    ]


def draw_all(slides: list[SlideFile]) -> None:
    """Draw those of one seed that are not there yet."""
    missing = [slide for slide in slides if not slide.path.exists()]
    if not missing:
        return
    cv2.setNumThreads(1)
    richest = SampleSpec(seed=missing[0].spec.seed, tumour=True)
    atlases = make_atlases(richest, workers=1)
    for slide in missing:
        _draw(slide, atlases)


def _draw(slide: SlideFile, atlases: Atlases) -> None:
    drawing = SampleDrawing(slide.spec, workers=1, atlases=atlases)
    slide.truth.write_text(json.dumps(truth_of(drawing.plan)))
    aside = slide.path.with_suffix(".part")
    write_svs(aside, drawing, slide.spec, lambda done, total: None, 1)
    aside.replace(slide.path)
