"""What is inferred before its place is known."""

from pathlib import Path

import numpy as np

from tests.heatmaps.parts import painted
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Predictions, TilePlan
from wsi_ai.heatmaps import Canvas, Keep, TileCanvas
from wsi_ai.heatmaps.held import HeldCanvas
from wsi_ai.testing import MEAN_CARD
from wsi_ai.tiles.planning import plan_for

BATCH = 4


def plan() -> TilePlan:
    slide = painted(Size(512, 512))
    return plan_for(MEAN_CARD, slide.info, np.ones((8, 8), np.bool_))


def batches(plan: TilePlan) -> list[Predictions]:
    scores = np.linspace(0, 1, len(plan), dtype=np.float32)[:, None]
    index = np.arange(len(plan))
    parts = (index[n : n + BATCH] for n in range(0, len(plan), BATCH))
    return [Predictions("s", part, scores[part]) for part in parts]


def test_it_ends_as_a_canvas_that_was_there_from_the_beginning(tmp_path: Path) -> None:
    tiles, known = plan(), [False]

    def place(name: str) -> Canvas:
        return TileCanvas(tiles, MEAN_CARD, Keep(tmp_path / name, "ab" * 32, BATCH))

    expected = place("expected")
    held = HeldCanvas(lambda: known[0], lambda: place("held"), BATCH)
    buffer = np.empty((BATCH, 1), np.float32)
    for number, batch in enumerate(batches(tiles)):
        assert held.done == expected.done
        known[0] = number >= 5
        expected.put(batch)
        buffer[:] = batch.scores  # as a runtime that uses its memory again
        held.put(Predictions("s", batch.index, buffer))
        assert (tmp_path / "held").exists() == held.is_placed == known[0]
    np.testing.assert_array_equal(held.heatmap().scores, expected.heatmap().scores)
    held.close()
    expected.close()
    journals = [(tmp_path / name / "journal").read_bytes() for name in ("held", "expected")]
    assert journals[0] == journals[1]


def test_no_more_is_held_in_memory_than_agreed(tmp_path: Path) -> None:
    """Then it waits for its place."""
    tiles, asked = plan(), list[int]()

    def place() -> Canvas:
        asked.append(held.done)
        return TileCanvas(tiles, MEAN_CARD, Keep(tmp_path / "kept", "ab" * 32, BATCH))

    held = HeldCanvas(lambda: False, place, BATCH, most_bytes=3 * BATCH * (8 + 4))
    for batch in batches(tiles):
        held.put(batch)
    assert asked == [3 * BATCH]
    held.close()
