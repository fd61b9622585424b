"""A cluster as a site starts it, with certificates: who may use it, and what is not used.

Kills of scheduler and run take longest: WSI_AI_SLOW=1.
"""

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.delivery.servers import until
from tests.models_for_tests import red_network, write_model
from tests.run.cluster.dask_processes import QUICK, Processes, certificates, dask_processes
from tests.run.cluster.kills import (
    client_killed,
    run_on,
    scheduler_killed,
    slides_in,
    worker_killed,
)
from tests.stand_in_runs import Failed, FreezesOnce, LostButHost, assembly, write_slide
from wsi_ai.app import NoWatcher
from wsi_ai.cli import app
from wsi_ai.core.flags import Level
from wsi_ai.errors import DeviceError, InputError
from wsi_ai.run.cluster.connecting import connected
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.on_devices import on_devices


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with dask_processes(tmp_path_factory.mktemp("dask") / "cluster") as processes:
        yield processes


def test_a_worker_that_freezes_in_a_slide_is_not_waited_for(tmp_path: Path, up: Processes) -> None:
    """Its nanny ends it; another goes on from what was kept.  No answer of it comes later."""
    assert up.url.startswith("tls://")
    with certificates(up.folder):
        came = worker_killed(up.url, tmp_path, FreezesOnce)
    assert came.is_whole, came
    assert came.resumed == 16


def test_with_another_certificate_or_none_no_slide_runs(tmp_path: Path, up: Processes) -> None:
    with certificates(up.folder, "impostor"), pytest.raises(DeviceError, match="certificate"):
        next(run_on(up.url, tmp_path, Failed))
    with certificates(up.folder, ca="stranger"), pytest.raises(DeviceError, match="certificate"):
        next(run_on(up.url, tmp_path, Failed))
    with pytest.raises(InputError, match="DASK_DISTRIBUTED__COMM__TLS__CA_FILE"):
        next(run_on(up.url, tmp_path, Failed))
    with certificates(tmp_path), pytest.raises(InputError, match="no certificates"):
        next(run_on(up.url, tmp_path, Failed))


def test_the_command_runs_slides_there_and_says_which_worker_had_which(
    tmp_path: Path, up: Processes
) -> None:
    slides = slides_in(tmp_path / "in")[:2]
    model = write_model(tmp_path / "red", red_network())
    words = ["run", *map(str, slides), "--model", str(model), "--out", str(tmp_path / "out")]
    with certificates(up.folder):
        done = CliRunner().invoke(app, [*words, "--cluster", up.url])
    assert done.exit_code == 0, done.output
    (record,) = (tmp_path / "out" / "runs").glob("*.json")
    found = json.loads(record.read_text())
    assert found["devices"] == [up.url]
    assert {one["device"] for one in found["slides"]} <= {"worker 0", "worker 1"}


def test_a_scheduler_that_nobody_is_at_is_said_to_be_away(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    words = ["run", str(tmp_path), "--model", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--cluster", f"tcp://10.0.0.1:{port}"])
    assert done.exit_code == 2
    with pytest.raises(InputError, match="no certificates"), connected(f"tls://127.0.0.1:{port}"):
        pass


@pytest.mark.slow
@pytest.mark.skipif("WSI_AI_SLOW" not in os.environ, reason="takes a minute: WSI_AI_SLOW=1")
def test_a_run_that_is_killed_leaves_workers_that_stop_and_the_next_one_goes_on(
    tmp_path: Path, up: Processes
) -> None:
    with certificates(up.folder):
        came = client_killed(up.url, up.folder, tmp_path / "run")
    assert came.is_whole, came
    assert came.resumed > 0


@pytest.mark.slow
@pytest.mark.skipif("WSI_AI_SLOW" not in os.environ, reason="takes a minute: WSI_AI_SLOW=1")
def test_a_scheduler_that_is_killed_ends_the_run_and_another_cluster_goes_on(
    tmp_path: Path,
) -> None:
    with dask_processes(tmp_path / "cluster") as processes, certificates(processes.folder):
        came = scheduler_killed(processes, "local:2", tmp_path / "run")
    assert came.is_whole, came
    assert came.resumed > 0


@pytest.mark.slow
@pytest.mark.skipif("WSI_AI_SLOW" not in os.environ, reason="takes a minute: WSI_AI_SLOW=1")
@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("WORK_STEALING", "True", "WORK_STEALING=False"),
        ("WORKER_TTL", "20m", "WORKER_TTL=60s"),
        ("WORKER_TTL", "null", "WORKER_TTL=60s"),
    ],
)
def test_a_scheduler_whose_settings_would_lose_work_is_refused(
    tmp_path: Path, setting: str, value: str, words: str
) -> None:
    settings = {**QUICK, f"DASK_DISTRIBUTED__SCHEDULER__{setting}": value}
    with dask_processes(tmp_path / "cluster", 1, settings) as up, certificates(up.folder):
        with pytest.raises(InputError, match=words):
            next(run_on(up.url, tmp_path / "run", Failed))
        assert not list((tmp_path / "run" / "out").glob("*-*"))


@pytest.mark.slow
@pytest.mark.skipif("WSI_AI_SLOW" not in os.environ, reason="takes a minute: WSI_AI_SLOW=1")
def test_a_worker_whose_device_fails_is_started_anew_and_its_slides_go_elsewhere(
    tmp_path: Path, up: Processes
) -> None:
    names = "a", "bad", "c"
    (tmp_path / "in").mkdir()
    slides = [write_slide(tmp_path / "in" / f"{n}.tif", seed=i) for i, n in enumerate(names)]
    one = assembly(tmp_path / "out", LostButHost, "one")
    one = replace(one, options=replace(one.options, cluster=up.url))
    with certificates(up.folder), connected(up.url) as session:
        before = set(session.workers())
        found = on_devices(one, [up.url], slides, NoWatcher(), NoPost())
        outcomes = {outcome.slide.stem: outcome for outcome in found}
        until(lambda: not before & set(session.workers()), 60)
    assert outcomes["bad"].level is Level.NOT_ASSESSED
    assert "fell off the bus; tried twice" in outcomes["bad"].reason
    assert {outcomes[name].level for name in ("a", "c")} == {Level.EXPEDITE}
