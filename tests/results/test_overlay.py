"""Colours are where they belong; that it looks right, people judge."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.examples import CARD, SLIDE, STEP, example_flag, example_heatmap
from wsi_ai.core.flags import Flag
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import Heatmap
from wsi_ai.results.lettering import font, wrapped
from wsi_ai.results.overlay import OverlayInput, write_overlay
from wsi_ai.tissue.thumbnail import Thumbnail
from wsi_ai.triage.judge import TriagePolicy, not_assessed

WHITE = Thumbnail(np.full((400, 600, 3), 255, np.uint8), np.zeros((400, 600), bool))
TISSUE = np.zeros((400, 600), bool)
TISSUE[100:300, 100:500] = True
FLAG = not_assessed(SLIDE, CARD, TriagePolicy(), "no tissue", None)
LEFT, TOP, PER_PX = 50, 200, 1290 / SLIDE.size.width
"""Where the slide lies on the picture."""


def drawn(path: Path, heatmap: Heatmap | None, flag: Flag) -> np.ndarray:
    write_overlay(path, OverlayInput(WHITE, TISSUE, heatmap, flag))
    return cv2.imread(str(path)).astype(int)


def test_an_overlay_with_a_heatmap_is_coloured_and_one_without_is_not(tmp_path: Path) -> None:
    heatmap = example_heatmap()
    with_scores = drawn(tmp_path / "a.png", heatmap, example_flag(heatmap))
    stopped = not_assessed(SLIDE, heatmap.model, TriagePolicy(), "no tissue", None)
    without = drawn(tmp_path / "b.png", None, stopped)
    shares = [(np.ptp(image, axis=2) > 60).mean() for image in (with_scores, without)]
    assert shares[0] > 0.1
    assert shares[1] < 0.02


@pytest.mark.parametrize(("row", "col"), [(0, 0), (20, 100), (80, 30)])
def test_a_cell_is_drawn_where_it_lies_on_the_slide(tmp_path: Path, row: int, col: int) -> None:
    dark, light = (drawn(tmp_path / f"{s}.png", one_cell(row, col, s), FLAG) for s in (0, 1))
    y, x = np.nonzero(np.ptp(light - dark, axis=2) > 40)
    inside = y < light.shape[0] - 200
    assert y[inside].mean() == pytest.approx(TOP + (row + 0.5) * STEP.y * PER_PX, abs=1.5)
    assert x[inside].mean() == pytest.approx(LEFT + (col + 0.5) * STEP.x * PER_PX, abs=1.5)


def test_a_cell_that_could_not_be_assessed_is_seen_however_small_it_is(tmp_path: Path) -> None:
    planned = np.zeros((4500, 6500), bool)
    planned[2251, 3503] = True
    scores = np.full((2, *planned.shape), np.nan, np.float32)
    heatmap = Heatmap(SLIDE, CARD, scores, Step(60_000 / 6500, 40_000 / 4500), planned)
    with_it = drawn(tmp_path / "a.png", heatmap, FLAG)
    without = drawn(tmp_path / "b.png", one_cell(0, 0, 0), FLAG)
    y = round(TOP + 2251 * heatmap.step.y * PER_PX)
    x = round(LEFT + 3503 * heatmap.step.x * PER_PX)
    near = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    assert (with_it[near] < without[near] - 50).any()


def test_words_are_broken_where_they_would_leave_the_picture() -> None:
    letters = font(17)
    lines = list(wrapped("tissue of the slide " * 20, letters, 300))
    assert " ".join(lines) == ("tissue of the slide " * 20).strip()
    assert max(letters.getlength(line) for line in lines) <= 300


def one_cell(row: int, col: int, score: float) -> Heatmap:
    """(2, 92, 133) cells, of which one is planned and assessed."""
    scores = np.full((2, 92, 133), np.nan, np.float32)
    scores[:, row, col] = score
    return Heatmap(SLIDE, CARD, scores, STEP, np.isfinite(scores[0]))
