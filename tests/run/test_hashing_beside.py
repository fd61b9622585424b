"""A large slide is inferred while its bytes are still being hashed.

Whatever has its digest in it waits for the digest: a flag, an early one too, and every file.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.models_for_tests import mean_network, write_encoder
from tests.run import test_embed_as_run as embedding
from tests.stand_in_runs import Failed, Small, Vectors, assembly, ran, write_slide
from wsi_ai.app import Embedded, NoWatcher
from wsi_ai.core.contracts import Slide
from wsi_ai.core.digests import Digest
from wsi_ai.core.flags import Level
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import SlideError
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.outcome import Ended
from wsi_ai.run.several_models import OpenOnce, SlideTasks
from wsi_ai.slides.readers.fingerprint import fingerprint
from wsi_ai.slides.readers.hashing import hashed_beside
from wsi_ai.slides.registry import open_slide

AT_MOST_S = 30.0


@dataclass(eq=False)
class Awaited:
    """A digest that is there when it is let go, or fails then."""

    sha256: str
    error: Exception | None = None
    was_touched: bool = False
    go: threading.Event = field(default_factory=threading.Event)

    @property
    def is_known(self) -> bool:
        return self.go.is_set()

    def whole(self) -> str:
        assert self.go.wait(AT_MOST_S), "waited for a digest that only comes later"
        if self.error is not None:
            raise self.error
        return self.sha256

    def parts(self) -> tuple[str, ...]:
        return (self.whole(),)

    def touched(self) -> bool:
        return self.was_touched


class Noted(NoPost):
    """Notes what is put."""

    def __init__(self) -> None:
        self.early, self.final = list[Mapping[str, Any]](), list[Mapping[str, Any]]()

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self.early.append(flag)
        return dict(flag)

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self.final.append(flag)
        return dict(flag)


def acting(act: Callable[[int], None], kind: type[Failed] = Failed) -> type[Failed]:
    """A device on which ``act`` happens before each batch."""

    class Acts(kind):  # type: ignore[valid-type, misc]
        def before(self, turn: int, batch: TileBatch) -> None:
            super().before(turn, batch)
            act(turn)

    return Acts


@dataclass
class Bench:
    """One slide after the other, with digests that are let go by hand."""

    made: Assembly[Any]
    post: Noted = field(default_factory=Noted)
    digests: dict[Path, Digest | str] = field(default_factory=dict)

    def open(self, path: Path) -> Slide:
        slide = open_slide(path)
        slide.info = replace(slide.info, digest=self.digests[path])  # type: ignore[misc]
        return slide

    def work(self) -> SlideTasks[Any]:
        work, refused = self.made.work(NoWatcher(), self.post)
        assert not refused
        once = OpenOnce(self.open)
        return replace(work, works=[replace(one, open_slide=once) for one in work.works])

    def outcome(self, path: Path) -> Any:
        work = self.work()
        (outcome,) = work.publish(work.infer(work.prepare(work.begin(path)))).outcomes
        assert isinstance(outcome, Ended)
        return outcome


@contextmanager
def beside(act: Callable[[], Any]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    yield thread
    thread.join(AT_MOST_S)
    assert not thread.is_alive()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_slide(tmp_path / "s.tif", 1024)


@pytest.fixture
def digest(path: Path) -> Awaited:
    return Awaited(fingerprint(path))


def written(out: Path, stem: str = "s") -> list[Path]:
    return list(out.glob(f"{stem}-*"))


def record_of(outcome: Ended) -> dict[str, Any]:
    assert outcome.folder is not None
    record: dict[str, Any] = json.loads((outcome.folder / "run.json").read_text())
    return record


def test_inference_does_not_wait_for_the_digest_and_every_flag_and_file_does(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    post, meanwhile = Noted(), list[object]()

    def act(turn: int) -> None:
        if turn == 3:
            meanwhile.extend([*written(tmp_path), *post.early, *post.final])
            digest.go.set()

    bench = Bench(assembly(tmp_path, acting(act)), post, {path: digest})
    outcome = bench.outcome(path)
    assert meanwhile == []
    assert outcome.level is Level.EXPEDITE
    assert (len(post.early), len(post.final)) == (1, 1)
    flags = [*post.early, *post.final]
    assert {flag["slide"]["image_sha256"] for flag in flags} == {digest.sha256}
    assert [folder.name for folder in written(tmp_path)] == [f"s-{digest.sha256[:8]}"]
    tiles = record_of(outcome)["tiles"]
    assert tiles["inferred"] == tiles["planned"] == 256
    assert "fingerprint" not in {s["stage"] for s in record_of(outcome)["timing"]["spans"]}


def test_it_gives_what_a_digest_that_is_known_before_gives(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    def act(turn: int) -> None:
        if turn == 7:
            digest.go.set()

    flags = list[dict[str, Any]]()
    for name, given in (("before", digest.sha256), ("later", digest)):
        bench = Bench(assembly(tmp_path / name, acting(act)), Noted(), {path: given})
        outcome = bench.outcome(path)
        flags.append(json.loads((outcome.folder / "flag.json").read_text()))
        assert len(bench.post.early) == 1
        del flags[-1]["timestamps"]
    assert flags[0] == flags[1]


def test_a_slide_that_is_through_first_waits_and_says_for_what(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    bench = Bench(assembly(tmp_path), Noted(), {path: digest})
    work = bench.work()
    task = work.prepare(work.begin(path))
    timer = threading.Timer(0.3, digest.go.set)
    timer.start()
    (outcome,) = work.publish(work.infer(task)).outcomes
    assert outcome.level is Level.EXPEDITE
    assert bench.post.early == []
    spans = record_of(outcome)["timing"]["spans"]
    assert "fingerprint" in {span["stage"] for span in spans}


def test_a_slide_that_a_gate_stops_is_told_under_its_own_digest(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    class OfNoScale(Bench):
        def open(self, path: Path) -> Slide:
            slide = super().open(path)
            slide.info = replace(slide.info, spacing=None)  # type: ignore[misc]
            return slide

    bench = OfNoScale(assembly(tmp_path), Noted(), {path: digest})
    work = bench.work()
    threading.Timer(0.3, digest.go.set).start()
    (outcome,) = work.publish(work.infer(work.prepare(work.begin(path)))).outcomes
    assert not (tmp_path / "s.ran").exists()
    assert (outcome.level, outcome.judged) == (Level.NOT_ASSESSED, True)
    assert "internal error" not in outcome.reason
    (flag,) = bench.post.final
    assert flag["slide"]["image_sha256"] == digest.sha256


def test_bytes_that_cannot_be_hashed_give_no_verdict(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    digest.error = SlideError("the file cannot be read: Input/output error")
    bench = Bench(assembly(tmp_path, acting(lambda turn: digest.go.set())), Noted(), {path: digest})
    outcome = bench.outcome(path)
    assert outcome.level is Level.NOT_ASSESSED
    assert outcome.reason == "the file cannot be read: Input/output error"
    assert bench.post.early == []
    assert [flag["result"]["level"] for flag in bench.post.final] == ["not_assessed"]


def test_a_slide_that_fails_first_is_told_under_its_own_digest(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    def act(turn: int) -> None:
        threading.Timer(0.2, digest.go.set).start()
        raise ValueError("a defect")

    bench = Bench(assembly(tmp_path, acting(act)), Noted(), {path: digest})
    assert bench.outcome(path).level is Level.NOT_ASSESSED
    (flag,) = bench.post.final
    assert flag["slide"]["image_sha256"] == digest.sha256


def test_where_nobody_can_tell_whether_it_changed_the_next_run_hashes_first(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    """Its rights were changed, or its content and then its time; on some file systems by reading
    it."""
    digest.was_touched = True
    made = assembly(tmp_path, acting(lambda turn: digest.go.set()))
    bench = Bench(made, Noted(), {path: digest})
    outcome = bench.outcome(path)
    assert "changed while it was read; run it again" in outcome.reason
    assert bench.post.early == []
    assert [flag["result"]["level"] for flag in bench.post.final] == ["not_assessed"]
    assert Bench(made, Noted(), {path: digest}).outcome(path).level is Level.EXPEDITE


class Changes:
    """Another slide is written under the name before the first batch is through."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, turn: int) -> None:
        if turn == 0:
            write_slide(self.path, 1024, seed=7)


def test_no_early_flag_leaves_of_a_slide_that_changed(path: Path, tmp_path: Path) -> None:
    """Its digest was right before the first tile was read, and is not any more."""
    digests: dict[Path, Digest | str] = {path: fingerprint(path)}
    bench = Bench(assembly(tmp_path, acting(Changes(path))), Noted(), digests)
    outcome = bench.outcome(path)
    assert outcome.level is Level.NOT_ASSESSED
    assert "changed while it was read" in outcome.reason
    assert bench.post.early == []
    assert [flag["result"]["level"] for flag in bench.post.final] == ["not_assessed"]


@pytest.mark.parametrize("turn", [0, 5, 15])
def test_whenever_a_slide_changes_neither_digest_gets_a_verdict(
    path: Path, turn: int, tmp_path: Path
) -> None:
    """Hashed by the reader's own thread, in place and tile by tile."""
    made = assembly(tmp_path, acting(lambda now: _spoil(path) if now == turn else None))

    def opened(path: Path) -> Slide:
        with hashed_beside(0):
            return open_slide(path)

    post = Noted()
    work, _ = made.work(NoWatcher(), post)
    work = replace(work, works=[replace(one, open_slide=OpenOnce(opened)) for one in work.works])
    task = work.publish(work.infer(work.prepare(work.begin(path))))
    (outcome,) = task.outcomes
    assert "changed while it was read" in outcome.reason
    assert [flag["result"]["level"] for flag in post.final] == ["not_assessed"]


def _spoil(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def test_what_was_inferred_before_the_digest_survives_a_kill_after_it(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    stops = list[Callable[[], None]]()

    def act(turn: int) -> None:
        if turn == 4:
            digest.go.set()
        if turn == 6:
            stops[0]()

    bench = Bench(assembly(tmp_path, acting(act)), Noted(), {path: digest})
    work = bench.work()
    stops.append(work.stop)
    assert work.publish(work.infer(work.prepare(work.begin(path)))).outcomes == []
    before = sum(tiles for _, _, tiles in ran(tmp_path, "s"))
    outcome = Bench(assembly(tmp_path), Noted(), {path: digest}).outcome(path)
    resumed = record_of(outcome)["tiles"]["resumed"]
    assert 5 * 16 <= resumed <= before
    assert sum(tiles for _, _, tiles in ran(tmp_path, "s")) == before + 256 - resumed


def test_stopped_before_the_digest_nothing_is_left(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    stops = list[Callable[[], None]]()
    kind = acting(lambda turn: stops[0]() if turn == 4 else None)
    bench = Bench(assembly(tmp_path, kind), Noted(), {path: digest})
    work = bench.work()
    stops.append(work.stop)
    assert work.publish(work.infer(work.prepare(work.begin(path)))).outcomes == []
    assert written(tmp_path) == []


def test_where_an_answer_may_stand_the_digest_comes_first(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    known: dict[Path, Digest | str] = {path: digest.sha256}
    first = Bench(assembly(tmp_path), Noted(), known).outcome(path)
    before = ran(tmp_path, "s")
    work = Bench(assembly(tmp_path), Noted(), {path: digest}).work()
    task = work.begin(path)
    with beside(lambda: work.prepare(task)) as thread:
        thread.join(0.3)
        assert thread.is_alive()
        digest.go.set()
    (again,) = work.publish(work.infer(task)).outcomes
    assert (again.level, again.fresh) == (first.level, False)
    assert ran(tmp_path, "s") == before


def test_twins_of_one_name_are_one_answer(tmp_path: Path) -> None:
    """The second knows its digest first, and must not take the place of the one before it."""
    for name in "ab":
        (tmp_path / name).mkdir()
    one = write_slide(tmp_path / "a" / "s.tif", 1024)
    other = write_slide(tmp_path / "b" / "s.tif", 1024)
    digest = Awaited(fingerprint(one))
    digests: dict[Path, Digest | str] = {one: digest, other: digest.sha256}
    work = Bench(assembly(tmp_path), Noted(), digests).work()
    tasks = [work.prepare(work.begin(one)), work.begin(other)]
    with beside(lambda: work.prepare(tasks[1])) as second:
        second.join(0.3)
        assert second.is_alive()
        assert written(tmp_path) == []
        digest.go.set()
        with beside(lambda: work.publish(work.infer(tasks[0]))):
            pass
    work.publish(work.infer(tasks[1]))
    outcomes = [outcome for task in tasks for outcome in task.outcomes]
    assert [outcome.fresh for outcome in outcomes] == [True, False]
    assert outcomes[0].flag_id == outcomes[1].flag_id
    assert sum(tiles for _, _, tiles in ran(tmp_path, "s")) == 256


def test_what_another_run_began_meanwhile_is_left_alone(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    kept = tmp_path / f"s-{digest.sha256[:8]}" / ".mean-1.kept" / "journal"

    def act(turn: int) -> None:
        if turn == 2:
            kept.parent.mkdir(parents=True)
            kept.write_bytes(b"another run's")
            digest.go.set()

    bench = Bench(assembly(tmp_path, acting(act)), Noted(), {path: digest})
    outcome = bench.outcome(path)
    assert not outcome.judged
    assert outcome.reason == "another run was at work on this slide meanwhile; run it again"
    assert kept.read_bytes() == b"another run's"
    assert [*bench.post.early, *bench.post.final] == []


def test_a_device_that_fails_meanwhile_is_replaced(
    path: Path, digest: Awaited, tmp_path: Path
) -> None:
    """With fewer tiles at once; nothing was on the disk by then."""

    def act(turn: int) -> None:
        if turn == 3:
            digest.go.set()

    bench = Bench(assembly(tmp_path, acting(act, Small)), Noted(), {path: digest})
    outcome = bench.outcome(path)
    assert outcome.level is Level.EXPEDITE
    record = record_of(outcome)
    assert record["tiles"]["inferred"] == 256
    assert len(record["device_changes"]) == 2


def test_vectors_wait_as_flags_do(path: Path, digest: Awaited, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "model", mean_network(side=32), side=32, mpp=0.5)
    meanwhile = list[Path]()

    class Acts(Vectors):
        def before(self, turn: int, batch: TileBatch) -> None:
            if turn == 2:
                meanwhile.extend(written(tmp_path / "out"))
                digest.go.set()

    made = embedding.assembly(tmp_path / "out", encoder, Acts)
    outcome = Bench(made, Noted(), {path: digest}).outcome(path)
    assert isinstance(outcome, Embedded)
    assert (outcome.tiles, meanwhile) == (1024, [])
    assert [folder.name for folder in written(tmp_path / "out")] == [f"s-{digest.sha256[:8]}"]
