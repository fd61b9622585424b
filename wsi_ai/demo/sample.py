"""Make a sample slide and its ground truth."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from wsi_ai.demo.atlases import Atlases
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.spec import SampleSpec
from wsi_ai.demo.svs import write_svs
from wsi_ai.demo.truth import truth_of


def write_sample_slide(
    path: Path,
    spec: SampleSpec,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
    atlases: Atlases | None = None,
) -> Path:
    """Write `path` (.svs) and its truth beside it (.geojson); return where the truth is.

    Both are written aside and renamed at the end: after a crash neither is there, and files
    of the same names are as they were.  `progress` is told rows of level-0 px done and in
    all.  The files do not depend on the number of `workers`, nor on whether `atlases`, those of
    the same seed and scale, were made before.
    """
    if path.suffix != ".svs":
        raise ValueError(f"a sample slide is an .svs file, got {path.name}")
    truth_path = path.with_suffix(".geojson")
    aside = [p.with_name(p.name + ".part") for p in (path, truth_path)]
    try:
        aside[0].touch()  # where that fails, before seconds of drawing
        with _threads_of_opencv(1):
            drawing = SampleDrawing(spec, workers, atlases)
            write_svs(aside[0], drawing, spec, progress or _unheard, workers)
        aside[1].write_text(json.dumps(truth_of(drawing.plan)))
        for part, final in zip(aside, (path, truth_path), strict=True):
            part.replace(final)
    finally:
        for part in aside:
            part.unlink(missing_ok=True)
    return truth_path


def _unheard(done_rows: int, total_rows: int) -> None:
    pass


@contextmanager
def _threads_of_opencv(count: int) -> Iterator[None]:
    """The workers are the threads here: OpenCV's own would only get in their way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
