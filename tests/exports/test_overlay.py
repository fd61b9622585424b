"""Colours are where they belong; that it looks right, people judge."""

from pathlib import Path

import cv2
import numpy as np

from tests.examples import SLIDE, example_flag, example_heatmap
from wsi_ai.exports.overlay import View, write_overlay
from wsi_ai.flags import Flag
from wsi_ai.thumbnail import Thumbnail
from wsi_ai.triage import TriagePolicy, not_assessed
from wsi_ai.values import Heatmap

WHITE = Thumbnail(np.full((400, 600, 3), 255, np.uint8), np.zeros((400, 600), bool))
TISSUE = np.zeros((400, 600), bool)
TISSUE[100:300, 100:500] = True


def drawn(path: Path, heatmap: Heatmap | None, flag: Flag) -> np.ndarray:
    write_overlay(path, View(WHITE, TISSUE, heatmap, flag))
    return cv2.imread(str(path)).astype(int)


def test_an_overlay_with_a_heatmap_is_coloured_and_one_without_is_not(tmp_path: Path) -> None:
    heatmap = example_heatmap()
    with_scores = drawn(tmp_path / "a.png", heatmap, example_flag(heatmap))
    stopped = not_assessed(SLIDE, heatmap.model, TriagePolicy(), "no tissue", None)
    without = drawn(tmp_path / "b.png", None, stopped)
    shares = [(np.ptp(image, axis=2) > 60).mean() for image in (with_scores, without)]
    assert shares[0] > 0.1
    assert shares[1] < 0.02
