"""A large slide is judged and written some rows at a time, and what is done is let go."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.examples import example_flag
from wsi_ai.core.flags import Quality
from wsi_ai.core.geometry import Size, Spacing, Step
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.heatmaps.cells import StoredLayers
from wsi_ai.heatmaps.kept import Kept
from wsi_ai.heatmaps.segmentation import class_marks
from wsi_ai.heatmaps.zarr import write_heatmap
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.job import SlideJob
from wsi_ai.run.outcome import Outcome
from wsi_ai.testing import MEAN_CARD
from wsi_ai.triage.judge import TriagePolicy, evidence_of, is_met, triage

SIDE = 1024


@pytest.fixture(scope="module")
def heatmap(tmp_path_factory: pytest.TempPathFactory) -> Heatmap:
    """A row in eight is high; what is beyond the middle has no score."""
    scores = np.full((1, SIDE, SIDE), 0.25, np.float32)
    scores[:, ::8] = 0.75
    scores[:, :, SIDE // 2 :] = np.nan
    layers = StoredLayers(tmp_path_factory.mktemp("cells") / "cells", scores.shape)
    layers.append(scores)
    slide = SlideInfo("s", Size(32 * SIDE, 32 * SIDE), Spacing(0.5, 0.5), (1.0,), "f00d" * 16)
    return Heatmap(slide, MEAN_CARD, layers, Step(32.0, 32.0), np.ones((SIDE, SIDE), np.bool_))


def bytes_a_cell(work: Callable[[], object]) -> float:
    work()  # what is loaded or kept once does not count
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / SIDE**2


def test_a_rule_is_asked_without_all_scores_at_once(heatmap: Heatmap) -> None:
    assert bytes_a_cell(lambda: is_met(heatmap, TriagePolicy())) < 4
    assert bytes_a_cell(lambda: evidence_of(heatmap).at_best().scores[:256]) < 4


def test_judging_takes_the_numbers_of_regions_and_little_more(heatmap: Heatmap) -> None:
    assert bytes_a_cell(lambda: triage(heatmap, TriagePolicy(), Quality((), 0.5))) < 9


def test_digest_classes_and_mask_take_no_layer(heatmap: Heatmap) -> None:
    layers = heatmap.scores
    assert isinstance(layers, StoredLayers)
    assert bytes_a_cell(lambda: Kept.of(heatmap).digest()) < 4
    assert bytes_a_cell(lambda: heatmap.missed) < 3
    assert bytes_a_cell(lambda: class_marks(MEAN_CARD, (SIDE, SIDE), layers.bands())) < 4


def test_writing_takes_a_layer_and_a_row_of_shards(heatmap: Heatmap, tmp_path: Path) -> None:
    places = iter(range(2))
    assert bytes_a_cell(lambda: write_heatmap(tmp_path / str(next(places)), heatmap)) < 16


def test_a_slide_that_is_over_holds_no_picture_and_no_scores() -> None:
    job = SlideJob[Outcome](Path("slide.svs"))
    job.result = Assessment(example_flag())
    job.end()
    assert job.result is None
    assert job.prepared is None
