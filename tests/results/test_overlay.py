"""Colours are where they belong; that it looks right, people judge."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.examples import CARD, SLIDE, STEP, example_flag, example_heatmap
from wsi_ai.core.flags import Flag, Identity
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import Heatmap, Objects
from wsi_ai.results.lettering import cut_to, font, wrapped
from wsi_ai.results.overlay import OverlayInput, write_overlay
from wsi_ai.results.overlay_layers import MOST_DOTS
from wsi_ai.tissue.thumbnail import Thumbnail
from wsi_ai.triage.judge import TriagePolicy, not_assessed

WHITE = Thumbnail(np.full((400, 600, 3), 255, np.uint8), np.zeros((400, 600), bool))
TISSUE = np.zeros((400, 600), bool)
TISSUE[100:300, 100:500] = True
FLAG = not_assessed(SLIDE, CARD, TriagePolicy(), "no tissue", None)
LEFT, TOP, PER_PX = 50, 230, 1290 / SLIDE.size.width
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


def sameness(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two patches, in grey levels."""
    return float(np.abs(one - other).mean())


def test_not_looked_at_low_and_missing_are_three_different_looks(tmp_path: Path) -> None:
    """On one pink tissue; each cell is 9.7 px of the picture wide."""
    pink = Thumbnail(np.full((400, 600, 3), (220, 130, 190), np.uint8), np.zeros((400, 600), bool))
    scores = np.full((2, 92, 133), np.nan, np.float32)
    planned = np.zeros((92, 133), bool)
    planned[10:60, 30:90] = True
    scores[:, 10:60, 30:60] = 0.02
    heatmap = Heatmap(SLIDE, CARD, scores, STEP, planned)
    write_overlay(tmp_path / "a.png", OverlayInput(pink, np.zeros((400, 600), bool), heatmap, FLAG))
    picture = cv2.imread(str(tmp_path / "a.png")).astype(int)
    side = STEP.x * PER_PX

    def patch(row: int, col: int) -> np.ndarray:
        y, x = round(TOP + row * side), round(LEFT + col * side)
        return picture[y : y + 60, x : x + 60]

    low, missing, unseen = patch(30, 40), patch(30, 70), patch(30, 100)
    assert min(sameness(low, missing), sameness(low, unseen), sameness(missing, unseen)) > 25
    assert np.ptp(unseen, axis=2).max() == 0  # without colour
    assert missing.std() > 20  # striped


def objects_at(middles: np.ndarray) -> Objects:
    boxes = np.hstack([middles - 5, middles + 5])
    count = len(middles)
    return Objects(boxes, np.ones(count, np.float32), np.full(count, CARD.positive_class), 10)


@pytest.mark.parametrize(("count", "is_density"), [(MOST_DOTS, False), (MOST_DOTS + 1, True)])
def test_many_objects_are_drawn_as_a_density(
    tmp_path: Path, count: int, *, is_density: bool
) -> None:
    middles = np.random.default_rng(1).uniform(8_000, 12_000, (count, 2))
    heatmap = dataclasses.replace(one_cell(1, 1, 0.5), objects=objects_at(middles))
    view = OverlayInput(WHITE, TISSUE, heatmap, FLAG)
    assert view.crowded is is_density
    assert len(view.objects or ()) == count
    picture = drawn(tmp_path / "a.png", heatmap, FLAG)
    red_dots = (np.abs(picture - (0, 94, 213)).max(axis=2) < 10).sum()
    assert bool(red_dots < 500) is is_density


def test_an_overlay_says_which_file_it_shows_and_nothing_of_the_case(tmp_path: Path) -> None:
    heatmap = example_heatmap()
    flag = example_flag(heatmap)
    named = dataclasses.replace(flag, identity=Identity("RXX", "S26-9", "S26-9-A1"))
    other = dataclasses.replace(flag, slide=dataclasses.replace(flag.slide, slide_id="another"))
    pictures = [
        drawn(tmp_path / f"{n}.png", heatmap, f) for n, f in enumerate((flag, named, other))
    ]
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0][:70] != pictures[2][:70]).any()


def test_a_name_that_is_too_long_ends_in_an_ellipsis() -> None:
    letters = font(21)
    assert cut_to("short", letters, 300) == "short"
    long = cut_to("a" * 500, letters, 300)
    assert long.endswith("a…")
    assert letters.getlength(long) <= 300
