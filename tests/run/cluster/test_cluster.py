"""Slides on the workers of ``local:2``: each has one outcome, whatever becomes of the workers.

Dask may run a task twice, as where a busy worker is slow to hand over what it gave: then the slide
is found done, and its flag is put again, which says nothing new.

The table of all kills, ten times each: python -m tests.run.cluster.kills --times 10
"""

import os
import threading
import time
from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model
from tests.run.cluster.conftest import LOCAL
from tests.run.cluster.kills import run_on, slides_in, worker_killed
from tests.run.test_fleet import CountingPost, Noting
from tests.stand_in_runs import (
    EndsAfter,
    EndsAlways,
    EndsOnce,
    Failed,
    Slow,
    assembly,
    ran,
    write_slide,
)
from wsi_ai.app import NoWatcher, RunOptions, run_slides
from wsi_ai.core.contracts import Watcher
from wsi_ai.core.flags import Level
from wsi_ai.errors import DeviceError, InputError, Stopped
from wsi_ai.results.folder import claimed
from wsi_ai.run.cluster.connecting import connected
from wsi_ai.run.cluster.given_up import GivenUp
from wsi_ai.run.on_devices import on_devices
from wsi_ai.run.outcome import Outcome

pytestmark = pytest.mark.usefixtures("local_cluster")


def outcomes_of(
    out: Path, kind: type[Failed], slides: list[Path], post: CountingPost, watch: Watcher
) -> list[Outcome]:
    one = assembly(out, kind)
    options = RunOptions(cluster=LOCAL, device="cpu")
    object.__setattr__(one, "options", options)
    return list(on_devices(one, [LOCAL], slides, watch, post))


def test_two_workers_do_every_slide_once_and_the_run_alone_keeps_the_flags(tmp_path: Path) -> None:
    slides, post, watch = slides_in(tmp_path / "in"), CountingPost(), Noting()
    outcomes = outcomes_of(tmp_path / "out", Failed, slides, post, watch)
    assert sorted(o.slide for o in outcomes) == sorted(slides)
    assert {o.level for o in outcomes} == {Level.EXPEDITE}
    assert {o.device for o in outcomes} == {"worker 0", "worker 1"}
    assert set(post.kept) == set(watch.slides) == {s.stem for s in slides}
    assert post.processes == {os.getpid()}
    assert watch.tiles >= 4 * 64
    pids = {pid for slide in slides for _, pid, _ in ran(tmp_path / "out", slide.stem)}
    assert str(os.getpid()) not in pids
    assert len(pids) == 2


@pytest.mark.parametrize(("kind", "resumed"), [(EndsOnce, 16), (EndsAfter, 0)])
def test_a_slide_whose_worker_is_killed_has_one_result_and_one_flag(
    tmp_path: Path, kind: type[Failed], resumed: int
) -> None:
    """In the middle of it, and when its results are just there."""
    came = worker_killed(LOCAL, tmp_path, kind)
    assert came.is_whole, came
    assert came.resumed == resumed
    assert (tmp_path / "out" / "killed").exists()


def test_a_slide_that_kills_every_worker_is_not_assessed_and_no_other_is_blamed(
    tmp_path: Path,
) -> None:
    names = ["a", "always", "c"]
    (tmp_path / "in").mkdir()
    slides = [write_slide(tmp_path / "in" / f"{n}.tif", seed=i) for i, n in enumerate(names)]
    post = CountingPost()
    found = outcomes_of(tmp_path / "out", EndsAlways, slides, post, NoWatcher())
    outcomes = {o.slide.stem: o for o in found}
    bad = outcomes.pop("always")
    assert bad.level is Level.NOT_ASSESSED
    assert "killed, froze or lost its machine; tried twice, the second time alone" in bad.reason
    assert {o.level for o in outcomes.values()} == {Level.EXPEDITE}
    assert sorted(set(post.kept)) == names


def test_who_gives_up_stops_the_workers_and_the_next_run_goes_on(tmp_path: Path) -> None:
    slides = slides_in(tmp_path / "in")
    outcomes = run_on(LOCAL, tmp_path, Slow)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    again = list(run_on(LOCAL, tmp_path, Failed))
    assert {o.level for o in again} == {Level.EXPEDITE}
    assert len(again) == len(slides)
    assert not all(o.fresh for o in again)


def test_two_runs_at_once_share_the_workers_and_each_keeps_its_own_flags(tmp_path: Path) -> None:
    found: dict[str, tuple[list[Outcome], CountingPost]] = {}

    def run(name: str) -> None:
        post, folder = CountingPost(), tmp_path / name
        slides = slides_in(folder / "in")
        found[name] = outcomes_of(folder / "out", Failed, slides, post, NoWatcher()), post

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, (outcomes, post) in found.items():
        assert set(post.kept) == {"b", "c", "d", "once"}, name
        assert all(
            o.folder is not None and o.folder.is_relative_to(tmp_path / name) for o in outcomes
        )


class StopsAtOnce(NoWatcher):
    def passed(self, done: int) -> None:
        raise Stopped("the job was stopped")


def test_a_watch_that_stops_a_slide_stops_it_on_its_worker(tmp_path: Path) -> None:
    post = CountingPost()
    with pytest.raises(Stopped):
        outcomes_of(tmp_path / "out", Slow, slides_in(tmp_path / "in"), post, StopsAtOnce())
    assert not post.kept


def test_by_name_a_cluster_gives_what_one_device_gives(tmp_path: Path) -> None:
    slides = slides_in(tmp_path / "in")[:2]
    model = write_model(tmp_path / "red", red_network())
    levels = []
    for options in (RunOptions(device="cpu"), RunOptions(cluster=LOCAL, threads=1)):
        out = tmp_path / (options.cluster.replace(":", "") or "here")
        outcomes = sorted(run_slides(slides, model, out, options), key=lambda o: o.slide)
        levels.append([(o.level, o.reason, o.flag_id) for o in outcomes])
    assert levels[0] == levels[1]


def test_where_no_worker_opens_the_model_the_run_fails_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path / "red", red_network())
    options = RunOptions(cluster=LOCAL, device="abacus")
    with pytest.raises(DeviceError, match="abacus"):
        list(run_slides(slides_in(tmp_path / "in"), model, tmp_path / "out", options))
    assert not list((tmp_path).glob("out/*-*"))


def test_a_worker_that_has_another_site_key_gets_no_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote would be a stranger's to every other worker."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    with pytest.raises(DeviceError, match=r"another site key.*\[results\] key"):
        list(run_on(LOCAL, tmp_path, Failed))
    assert not list(tmp_path.glob("out/*-*"))


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("reached_openly", "without TLS"),
        ("in_this_process", r"tls://HOST:PORT"),
        ("small", "no room for two slides|killed for the memory"),
        ("broken", "no hours left"),
        ("missing", "it has no missing"),
    ],
)
def test_a_factory_whose_cluster_would_lose_or_show_slides_is_refused(
    tmp_path: Path, factory: str, words: str
) -> None:
    one = assembly(tmp_path / "out", Failed)
    named = f"tests.run.cluster.factories:{factory}"
    object.__setattr__(one, "options", RunOptions(cluster=named))
    with pytest.raises((InputError, DeviceError), match=words):
        list(on_devices(one, [named], slides_in(tmp_path / "in"), NoWatcher(), CountingPost()))


def test_a_slide_that_is_given_up_while_its_place_is_still_held_gets_its_flag_later(
    tmp_path: Path,
) -> None:
    """As where a frozen process is taken for dead a moment before it is."""
    post, (slide, *_) = CountingPost(), slides_in(tmp_path / "in")
    one = assembly(tmp_path / "out", Failed)
    given_up = GivenUp(one, post, patience_s=60)
    given_up.add(slide, "its workers ended", "worker 0")
    (first,) = one.cards
    unread = one.failed(first, slide, "to learn its place", CountingPost()).folder
    assert unread is not None
    with claimed(unread):
        assert list(given_up.outcomes()) == []
        assert given_up
        assert not post.kept
    (outcome,) = given_up.outcomes()
    assert (outcome.level, outcome.folder) == (Level.NOT_ASSESSED, unread)
    assert post.kept == ["once"]
    assert not given_up


def test_a_worker_that_is_retired_in_a_slide_costs_it_no_try(tmp_path: Path) -> None:
    """As where a batch system's time is up.  The last test of this cluster: it has one less."""
    post, slides = CountingPost(), slides_in(tmp_path / "in")
    with connected(LOCAL) as session:
        end = time.monotonic() + 60
        while len(session.workers()) < 2:  # one that another test ended comes back
            assert time.monotonic() < end
            time.sleep(0.1)
        address = min(session.workers())
        threading.Timer(
            1.0, lambda: session.client.retire_workers([address], close_workers=True)
        ).start()
        outcomes = outcomes_of(tmp_path / "again", Slow, slides, post, NoWatcher())
        assert len(session.workers()) == 1
    assert {o.level for o in outcomes} == {Level.EXPEDITE}
    assert sorted(o.slide for o in outcomes) == sorted(slides)
