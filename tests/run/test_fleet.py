"""Several devices: every slide is done once, whatever becomes of the processes."""

import json
import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.models_for_tests import red_network, write_model
from tests.stand_in_runs import (
    EndsAlways,
    EndsOnce,
    Failed,
    OneIsLost,
    Together,
    assembly,
    ran,
    write_slide,
)
from wsi_ai.app import NoWatcher, RunOptions, run_slides
from wsi_ai.core.flags import Level, Standing
from wsi_ai.errors import DeviceError, InputError
from wsi_ai.inference.registry import devices_asked
from wsi_ai.run.fleet.fleet import Fleet
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.outcome import Outcome


class Noting(NoWatcher):
    """Adds up what it is told, of all devices."""

    def __init__(self) -> None:
        self.slides, self.tiles = list[str](), 0

    def started(self, slide: Path) -> None:
        self.slides.append(slide.stem)

    def planned(self, tiles: int, done: int) -> None:
        self.tiles += tiles


class CountingPost:
    """Keeps flags as its one process gets them."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.processes: set[int] = set()

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self.processes.add(os.getpid())
        self.kept.append(flag["slide"]["slide_id"]["value"])
        return {**flag, "revision": 7}

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return dict(flag)

    def standing(self, flag_id: str) -> Standing | None:
        return None


def slides_called(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write_slide(folder / f"{n}.tif", seed=i) for i, n in enumerate(names)]


def run_all(
    out: Path, kind: type[Failed], slides: list[Path], post: CountingPost | None = None
) -> dict[str, Outcome]:
    fleet = Fleet(assembly(out, kind), ("one", "two"), NoWatcher(), post or NoPost())
    outcomes = list(fleet.outcomes(slides))
    assert len(outcomes) == len(slides)
    assert not multiprocessing.active_children()
    return {outcome.slide.stem: outcome for outcome in outcomes}


def test_two_devices_do_every_slide_once_and_the_run_alone_keeps_the_flags(
    tmp_path: Path,
) -> None:
    slides = slides_called(tmp_path / "in", *"abcd")
    post, watch = CountingPost(), Noting()
    fleet = Fleet(assembly(tmp_path / "out", Together), ("one", "two"), watch, post)
    outcomes = list(fleet.outcomes(slides))
    assert sorted(o.slide for o in outcomes) == slides
    assert {o.level for o in outcomes} == {Level.EXPEDITE}
    assert {o.device for o in outcomes} == {"one", "two"}
    assert sorted(post.kept) == sorted(watch.slides) == [*"abcd"]
    assert post.processes == {os.getpid()}
    assert watch.tiles == 4 * 64
    for outcome in outcomes:
        assert outcome.folder is not None
        assert json.loads((outcome.folder / "flag.json").read_text())["revision"] == 7
        assert {d for d, _, _ in ran(tmp_path / "out", outcome.slide.stem)} == {outcome.device}


def test_a_slide_whose_worker_is_killed_goes_on_with_another(tmp_path: Path) -> None:
    slides = slides_called(tmp_path / "in", "once", "b", "c")
    outcomes = run_all(tmp_path / "out", EndsOnce, slides)
    assert (tmp_path / "out" / "killed").exists()
    assert {o.level for o in outcomes.values()} == {Level.EXPEDITE}
    devices = [device for device, _, _ in ran(tmp_path / "out", "once")]
    assert devices[-1] != devices[0]
    assert devices[-1] == outcomes["once"].device


def test_a_slide_that_kills_every_worker_is_not_assessed_and_no_other_is_blamed(
    tmp_path: Path,
) -> None:
    slides = slides_called(tmp_path / "in", "a", "always", "c")
    post = CountingPost()
    outcomes = run_all(tmp_path / "out", EndsAlways, slides, post)
    bad = outcomes.pop("always")
    assert bad.level is Level.NOT_ASSESSED
    assert "ended by SIGKILL; tried twice" in bad.reason
    assert bad.folder is not None
    assert json.loads((bad.folder / "flag.json").read_text())["action"] == "not_assessed"
    assert {o.level for o in outcomes.values()} == {Level.EXPEDITE}
    assert sorted(post.kept) == ["a", "always", "c"]


def test_a_device_that_is_lost_leaves_its_slides_to_the_other(tmp_path: Path) -> None:
    slides = slides_called(tmp_path / "in", *"ab")
    outcomes = run_all(tmp_path / "out", OneIsLost, slides)
    assert {o.level for o in outcomes.values()} == {Level.EXPEDITE}
    assert {o.device for o in outcomes.values()} == {"two"}


def test_who_gives_up_ends_the_processes(tmp_path: Path) -> None:
    slides = slides_called(tmp_path / "in", *"abcdef")
    fleet = Fleet(assembly(tmp_path / "out"), ("one", "two"), NoWatcher(), NoPost())
    outcomes = fleet.outcomes(slides)
    next(outcomes)
    assert len(multiprocessing.active_children()) == 2
    outcomes.close()
    assert not multiprocessing.active_children()


def test_by_name_two_hosts_give_what_one_gives(tmp_path: Path) -> None:
    slides = slides_called(tmp_path / "in", *"ab")
    model = write_model(tmp_path / "red", red_network())
    flags = []
    for device in ("cpu", "cpu,cpu"):
        out = tmp_path / device
        outcomes = {o.slide: o for o in run_slides(slides, model, out, RunOptions(device=device))}
        found = [json.loads((outcomes[s].folder / "flag.json").read_text()) for s in slides]
        flags.append([{k: v for k, v in f.items() if k != "timestamps"} for f in found])
    assert flags[0] == flags[1]


def test_where_no_device_opens_the_run_fails_and_nothing_is_written(tmp_path: Path) -> None:
    slides = slides_called(tmp_path / "in", *"ab")
    model = write_model(tmp_path / "red", red_network())
    options = RunOptions(device="abacus:0,abacus:1")
    with pytest.raises(DeviceError, match="abacus"):
        list(run_slides(slides, model, tmp_path / "out", options))
    assert not (tmp_path / "out").exists()


def test_devices_are_named_with_commas_and_never_beside_auto() -> None:
    assert devices_asked("cpu, cuda:1") == ["cpu", "cuda:1"]
    assert devices_asked("auto") == ["auto"]
    for wrong in ("", "cpu,", "auto,cpu"):
        with pytest.raises(InputError, match="--device"):
            devices_asked(wrong)


def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    """Its workers see that their wires are closed."""
    slides = slides_called(tmp_path / "in", *"abcdef")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run_and_tell, args=(tmp_path / "out", slides, there))
    process.start()
    workers = here.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for worker in workers:
        _wait_until_gone(worker)


def _run_and_tell(out: Path, slides: list[Path], wire: Any) -> None:
    fleet = Fleet(assembly(out), ("one", "two"), NoWatcher(), NoPost())
    outcomes = fleet.outcomes(slides)
    next(outcomes)
    wire.send([child.pid for child in multiprocessing.active_children()])
    signal.pause()


def _wait_until_gone(pid: int) -> None:
    """A process that is not our child: it is gone when its /proc is, or it is a zombie."""
    for _ in range(300):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        signal.sigtimedwait([], 0.1)
    raise AssertionError(f"process {pid} is still there")
