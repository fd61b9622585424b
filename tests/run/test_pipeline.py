"""The story of one slide on stand-ins: a painted slide, and a model that scores redness."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from wsi_ai.app import NoWatcher
from wsi_ai.core.flags import Flag, Level
from wsi_ai.core.geometry import Box, Size, Spacing
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import TilePlan
from wsi_ai.heatmaps import Canvas, Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.pipeline import Pipeline, Prepared
from wsi_ai.testing import MeanRuntime, PaintedSlide
from wsi_ai.tiles.reading import RegionTiles
from wsi_ai.tissue.quality import QualityLimits
from wsi_ai.triage.judge import TriagePolicy
from wsi_ai.triage.rules import Tiles

LIMITS = QualityLimits(focus_min=0, pen_max=1, cast_max=1)
SIZE = Size(4096, 4096)


def red_corner(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pale red all over, but for a corner of 8 x 8 cells in full red."""
    strong = (x < 512) & (y < 512)
    return tuple(np.where(strong, a, b) for a, b in ((250, 90), (20, 40), (30, 50)))


def story(
    slide: PaintedSlide, kept: Path, policy: TriagePolicy
) -> tuple[Assessment, list[Flag], int]:
    """The assessment, the early flags, and after how many tiles the first was raised."""
    runtime = MeanRuntime()
    pipeline = Pipeline(RegionTiles(runtime.batch_size, 2), runtime, policy, LIMITS)
    clock, early, passed = Stopwatch(time.perf_counter()), list[Flag](), [0]

    class Counting(NoWatcher):
        def passed(self, done: int) -> None:
            passed[0] = done

    at: list[int] = []

    def heard(flag: Flag) -> None:
        early.append(flag)
        at.append(passed[0])

    def canvas(plan: TilePlan) -> Canvas:
        return open_canvas(plan, runtime.card, Keep(kept, "ab" * 32, runtime.batch_size))

    made = pipeline.prepare(slide, canvas, clock)
    if isinstance(made, Assessment):
        return made, early, 0
    with closing(made.canvas):
        return pipeline.infer(made, Counting(), clock, heard), early, at[0] if at else 0


@pytest.fixture
def painted() -> Callable[..., PaintedSlide]:
    def make(**wanted: object) -> PaintedSlide:
        return PaintedSlide(SIZE, Spacing(0.5, 0.5), (1.0, 4.0), red_corner, **wanted)

    return make


def test_the_corner_is_found_and_raised_early_and_once(
    painted: Callable[..., PaintedSlide], tmp_path: Path
) -> None:
    policy = TriagePolicy(rule=Tiles(32))
    done, early, after = story(painted(), tmp_path / "j", policy)
    assert done.flag.level is Level.EXPEDITE
    assert done.flag.positive == 64
    assert [flag.level for flag in early] == [Level.EXPEDITE]
    assert early[0].coverage < 0.2
    assert early[0].positive >= 32
    assert after < 0.2 * 64 * 64
    assert early[0].flag_id == done.flag.flag_id


def test_where_nuclei_lie_dense_is_looked_at_first(tmp_path: Path) -> None:
    """A blue square of 8 x 8 cells on pink, at rows 40-47 and columns 8-15."""

    def blue_square(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        inside = (x >= 512) & (x < 1024) & (y >= 2560) & (y < 3072)
        return tuple(np.where(inside, a, b) for a, b in ((90, 220), (60, 150), (140, 200)))

    slide = PaintedSlide(SIZE, Spacing(0.5, 0.5), (1.0, 4.0), blue_square)
    runtime = MeanRuntime()
    pipeline = Pipeline(RegionTiles(runtime.batch_size, 2), runtime, TriagePolicy(), LIMITS)
    keep = Keep(tmp_path / "j", "ab" * 32, runtime.batch_size)
    clock = Stopwatch(time.perf_counter())
    made = pipeline.prepare(slide, lambda plan: open_canvas(plan, runtime.card, keep), clock)
    assert isinstance(made, Prepared)
    made.canvas.close()
    assert set(map(tuple, (made.plan.cells[:64] // 8).tolist())) == {(5, 1)}


def test_a_rule_that_is_not_met_raises_nothing(
    painted: Callable[..., PaintedSlide], tmp_path: Path
) -> None:
    done, early, _ = story(painted(), tmp_path / "j", TriagePolicy(rule=Tiles(65)))
    assert done.flag.level is Level.STANDARD
    assert early == []


def test_where_the_corner_cannot_be_read_the_slide_is_not_assessed(
    painted: Callable[..., PaintedSlide], tmp_path: Path
) -> None:
    slide = painted(broken=(Box(0, 0, 512, 512),))
    done, early, _ = story(slide, tmp_path / "j", TriagePolicy(rule=Tiles(32)))
    assert done.flag.level is Level.NOT_ASSESSED
    assert early == []
    assert done.heatmap is not None
    assert done.heatmap.missed.sum() == 64


def test_what_an_earlier_run_left_is_not_read_again(
    painted: Callable[..., PaintedSlide], tmp_path: Path
) -> None:
    policy = TriagePolicy(rule=Tiles(32))
    whole = story(painted(), tmp_path / "j", policy)[0]
    journal = (tmp_path / "j" / "journal").read_bytes()
    (tmp_path / "j" / "journal").write_bytes(journal[: len(journal) // 2])
    again = story(painted(), tmp_path / "j", policy)[0]
    assert 0 < again.resumed < len(journal)
    assert again.flag == whole.flag
    assert again.heatmap is not None
    assert whole.heatmap is not None
    np.testing.assert_array_equal(again.heatmap.scores, whole.heatmap.scores)


def test_a_gate_stops_a_slide_before_anything_is_read(tmp_path: Path) -> None:
    slide = PaintedSlide(SIZE, None, broken=(Box(0, 0, 4096, 4096),))
    done, early, _ = story(slide, tmp_path / "j", TriagePolicy())
    assert done.flag.level is Level.NOT_ASSESSED
    assert done.flag.reason == "no spacing in the file; give --mpp"
    assert done.look is None
    assert not isinstance(done, Prepared)
    assert early == []
    assert not (tmp_path / "j").exists()
