"""Several models on one slide: decoded once, and none harms another."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models_for_tests import constant_network, red_network, write_model
from wsi_ai.core.cards import ModelCard, RuntimeRequest, TileSpec
from wsi_ai.core.contracts import EncodedLevel, Runtime, Slide
from wsi_ai.core.flags import Level
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Predictions, TileBatch, TilePlan
from wsi_ai.errors import DeviceError, ModelError, TileUnreadable
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.engine import Engine
from wsi_ai.run.flag_answer import FlagAnswer
from wsi_ai.run.flags_for import flags_for
from wsi_ai.run.no_ops import NoPost, NoWatcher
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.run.run_slides import run_slides
from wsi_ai.run.several_models import OpenOnce, SlideTask, SlideTasks
from wsi_ai.run.steps import SlideSteps
from wsi_ai.slides.identity import load_cases
from wsi_ai.slides.readers.tiff.reader import open_slide
from wsi_ai.testing import PaintedSlide
from wsi_ai.tiles.reading import HostTiles, RegionTiles, SharedTiles
from wsi_ai.tissue.overview import OverviewOnce
from wsi_ai.triage.policy import Policy


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two that want the same tiles, and one that wants others."""
    folder = tmp_path_factory.mktemp("models")
    return [
        write_model(folder / "red", red_network(), mpp=1.0),
        write_model(folder / "never", constant_network([0.1]), mpp=1.0, name="never"),
        write_model(folder / "fine", red_network(), mpp=0.5, name="fine"),
    ]


def answer(folder: Path | None) -> dict[str, Any]:
    assert folder is not None
    flag: dict[str, Any] = json.loads((folder / "flag.json").read_text())
    del flag["timestamps"]
    return flag


def test_each_model_says_what_it_would_have_said_alone(
    cmu: Path, models: list[Path], tmp_path: Path
) -> None:
    together = list(run_slides([cmu], models, tmp_path / "together"))
    alone = [o for m in models for o in run_slides([cmu], m, tmp_path / "alone")]
    assert [o.model for o in together] == ["red-1.0.0", "never-1.0.0", "fine-1.0.0"]
    assert [o.level for o in together] == [Level.EXPEDITE, Level.STANDARD, Level.EXPEDITE]
    assert [answer(o.folder) for o in together] == [answer(o.folder) for o in alone]


def test_a_model_that_cannot_be_used_stops_the_run_before_any_slide(
    cmu: Path, models: list[Path], tmp_path: Path
) -> None:
    bad = write_model(tmp_path / "bad", red_network(), mpp=-1)
    with pytest.raises(ModelError, match="bad/model"):
        list(run_slides([cmu], [bad, *models[:1]], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_same_model_twice_is_refused(cmu: Path, models: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"two of the models are called red-1\.0\.0"):
        list(run_slides([cmu], [models[0], models[0]], tmp_path))


class Counting:
    """A TIFF that counts which of its stored tiles are handed out, and how often."""

    def __init__(self, path: Path) -> None:
        self._slide = open_slide(path, None)
        self.info = self._slide.info
        self.read = self._slide.read
        self.counts = Counter[tuple[int, int, int]]()

    def encoded_level(self, level: int) -> EncodedLevel:
        return _CountingLevel(self._slide.encoded_level(level), level, self.counts)

    def __enter__(self) -> "Counting":
        return self

    def __exit__(self, *_: object) -> None:
        self._slide.__exit__(None, None, None)


class _CountingLevel:
    def __init__(self, level: EncodedLevel, number: int, counts: Counter[Any]) -> None:
        self._level, self._number, self._counts = level, number, counts
        self.size, self.encoding, self.corner = level.size, level.encoding, level.corner

    def encoded(self, col: int, row: int) -> bytes | None:
        self._counts[self._number, col, row] += 1
        return self._level.encoded(col, row)


class Breaking:
    """A runtime whose device is lost after some batches."""

    def __init__(self, runtime: Runtime, batches: int) -> None:
        self.card, self.batch_size = runtime.card, runtime.batch_size
        self.description = runtime.description
        self._runtime, self._batches = runtime, batches

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        for number, batch in enumerate(self._runtime.predict(batches)):
            if number == self._batches:
                raise DeviceError("the device is lost")
            yield batch


def task(slide: Path, runtimes: list[Runtime], out: Path) -> tuple[SlideTask[Outcome], Counting]:
    """One slide through all three steps."""
    opened, source = Counting(slide), SharedTiles(HostTiles(8, threads=2))
    policy, once, look = Policy(), OpenOnce(lambda path: opened), OverviewOnce()
    request = RuntimeRequest("cpu", batch_size=8)

    def work_of(runtime: Runtime) -> SlideSteps[Outcome]:
        def build_pipeline(runtime: Runtime) -> Pipeline:
            return Pipeline(source, runtime, policy.triage, policy.quality, look)

        engine = Engine(lambda _: runtime, request, build_pipeline)
        answer = FlagAnswer(runtime.card, NoPost(), policy, load_cases(None), out)
        return SlideSteps(engine, answer, once, once)

    works = [work_of(runtime) for runtime in runtimes]
    work = SlideTasks(works, NoWatcher())
    return work.publish(work.infer(work.prepare(work.begin(slide)))), opened


def runtime_of(model: Path) -> Runtime:
    return open_runtime(load_card(model), RuntimeRequest("cpu", batch_size=8))


def test_tiles_that_two_models_want_are_decoded_once_for_both(
    cmu: Path, models: list[Path], tmp_path: Path
) -> None:
    runtimes = [runtime_of(model) for model in models[:2]]
    _, alone = task(cmu, runtimes[:1], tmp_path / "a")
    done, both = task(cmu, runtimes, tmp_path / "b")
    assert [o.level for o in done.outcomes] == [Level.EXPEDITE, Level.STANDARD]
    assert both.counts == alone.counts
    assert set(both.counts.values()) == {1}
    assert len(both.counts) > 50


def test_a_model_whose_device_is_lost_leaves_the_others_their_slide(
    cmu: Path, models: list[Path], tmp_path: Path
) -> None:
    runtimes = [runtime_of(model) for model in models[:2]]
    done, _ = task(cmu, [Breaking(runtimes[0], 2), runtimes[1]], tmp_path / "b")
    assert [o.level for o in done.outcomes] == [Level.NOT_ASSESSED, Level.STANDARD]
    assert done.outcomes[0].reason == "the device is lost"
    again, _ = task(cmu, runtimes, tmp_path / "b")
    assert [o.level for o in again.outcomes] == [Level.EXPEDITE, Level.STANDARD]
    assert [o.fresh for o in again.outcomes] == [True, False]
    assert again.outcomes[0].folder is not None
    record = json.loads((again.outcomes[0].folder / "run.json").read_text())
    assert record["tiles"]["resumed"] == 16


def plan_of(slide: PaintedSlide) -> TilePlan:
    cells = np.argwhere(np.ones((6, 8))).astype(np.int32)
    spec = TileSpec(64, 0.5, 64)
    step = spec.scale(slide.info.known_spacing())
    return TilePlan(slide.info, spec, 0, Size(64, 64), cells, (6, 8), type(step)(64.0, 64.0))


def positions(batches: Iterator[TileBatch]) -> list[int]:
    return [int(i) for batch in batches for i in batch.index]


class Reusing(RegionTiles):
    """Every batch in the same memory, as a reader may."""

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        memory = np.empty((self.batch_size, 64, 64, 3), np.uint8)
        for batch in super().__call__(slide, plan, start):
            memory[: len(batch.index)] = np.asarray(batch.pixels)
            yield TileBatch(batch.slide_id, batch.index, memory[: len(batch.index)])


def test_models_that_come_in_at_different_tiles_each_get_their_own() -> None:
    slide = PaintedSlide()
    shared, plan = SharedTiles(Reusing(8, 1)), plan_of(slide)
    late, early = shared(slide, plan, 24), shared(slide, plan, 8)
    first = next(late)
    red = np.asarray(first.pixels)[:, 0, 0, 0].copy()
    rest = positions(early)
    assert first.index.tolist() == list(range(24, 32))
    assert positions(late) == list(range(32, 48))
    assert rest == list(range(8, 48))
    assert np.array_equal(np.asarray(first.pixels)[:, 0, 0, 0], red)


def test_what_the_reader_raises_reaches_every_model() -> None:
    class Broken(RegionTiles):
        def __call__(self, *_: Any) -> Iterator[TileBatch]:
            raise TileUnreadable("the file is gone")
            yield

    slide = PaintedSlide()
    shared, plan = SharedTiles(Broken(8, 1)), plan_of(slide)
    branches = [shared(slide, plan, 0) for _ in range(2)]
    for branch in branches:
        with pytest.raises(TileUnreadable, match="the file is gone"):
            next(branch)


def test_the_walk_ends_with_the_last_model_that_leaves() -> None:
    ended = []

    class Walking(RegionTiles):
        def __call__(self, *given: Any) -> Iterator[TileBatch]:
            try:
                yield from super().__call__(*given)
            finally:
                ended.append(True)

    slide = PaintedSlide()
    shared, plan = SharedTiles(Walking(8, 1)), plan_of(slide)
    branches = [shared(slide, plan, 0) for _ in range(2)]
    next(branches[0])
    branches[0].close()
    assert not ended
    branches[1].close()
    assert ended


def test_nothing_is_kept_for_a_model_that_has_left() -> None:
    slide = PaintedSlide()
    shared, plan = SharedTiles(RegionTiles(8, 1)), plan_of(slide)
    stays, leaves = shared(slide, plan, 0), shared(slide, plan, 0)
    next(stays)
    assert len(leaves.waiting) == 1
    leaves.close()
    assert positions(stays) == list(range(8, 48))
    assert len(leaves.waiting) == 0


def test_each_model_gets_batches_of_its_own_size(models: list[Path], tmp_path: Path) -> None:
    """A runtime fills up smaller ones, which would cost as much as full ones."""
    sizes = iter([8, 4, 8])

    def opened(card: ModelCard, request: RuntimeRequest) -> Runtime:
        return open_runtime(card, replace(request, batch_size=next(sizes)))

    card = load_card(models[0])
    cards = [replace(card, ref=replace(card.ref, name=name)) for name in "abc"]
    options = RunOptions(device="cpu")
    answer_for = flags_for(Policy(), load_cases(None), tmp_path)
    assembly = Assembly(answer_for, Policy(), options, cards, opened)
    work, refused = assembly.work(NoWatcher(), NoPost())
    sources = [one.engine.current()[1].source for one in work.works]
    assert [source.batch_size for source in sources] == [8, 4, 8]
    assert sources[0] is sources[2]
    assert not refused
