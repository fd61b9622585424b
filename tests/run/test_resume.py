"""Killed for real, the next run goes on and gives what an unbroken one would have given."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models_for_tests import red_network, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small tiles and many of them, so that there is a middle to be killed in."""
    network = red_network(side=32)
    return write_model(tmp_path_factory.mktemp("models") / "red", network, side=32, mpp=0.5)


def start(
    slide: Path, model: Path, out: Path, stderr: int | None = None
) -> subprocess.Popen[bytes]:
    """As at a terminal: a shell has its background jobs ignore SIGINT, and their children too."""
    words = ["run", str(slide), "--model", str(model), "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-m", "wsi_ai", *words],
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def flag_and_record(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    (folder,) = out.glob("*/red-1.0.0")
    flag, record = (json.loads((folder / name).read_text()) for name in ("flag.json", "run.json"))
    del flag["timestamps"]
    return flag, record


def wait_for_journal(process: subprocess.Popen[bytes], out: Path, size: int) -> None:
    """Until it has ``size`` bytes."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if any(path.stat().st_size >= size for path in out.glob("*/.*.kept/journal")):
            break
        time.sleep(0.002)


def kill_when_written(process: subprocess.Popen[bytes], out: Path, size: int) -> None:
    """Without a warning."""
    wait_for_journal(process, out, size)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_after_any_kill_the_next_run_goes_on_to_the_same_flag(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    assert start(cmu, model, tmp_path / "whole").wait() == 0
    expected, record = flag_and_record(tmp_path / "whole")
    total = record["tiles"]["planned"] * 12
    for size in np.random.default_rng().integers(0, total * 3 // 4, 3).tolist():
        kill_when_written(start(cmu, model, tmp_path / "torn"), tmp_path / "torn", size)
        assert not list((tmp_path / "torn").glob("*/red-1.0.0"))
    assert start(cmu, model, tmp_path / "torn").wait() == 0
    flag, record = flag_and_record(tmp_path / "torn")
    assert flag == expected
    assert record["tiles"]["resumed"] > 0
    folders = (p for p in (tmp_path / "torn").iterdir() if p.is_dir())
    (parent,) = (p for p in folders if p.name != "runs")
    assert [path.name for path in parent.iterdir()] == ["red-1.0.0"]


def test_a_second_run_of_the_same_slide_leaves_the_first_alone(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    first = start(cmu, model, tmp_path)
    os.kill(first.pid, 0)
    while not list(tmp_path.glob("*/.*.lock")):
        time.sleep(0.01)
    second = start(cmu, model, tmp_path)
    assert second.wait() in (0, 4)
    assert first.wait() == 0
    assert flag_and_record(tmp_path)[0]["result"]["level"] == "expedite"


def test_interrupted_it_says_so_and_the_same_command_goes_on(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    process = start(cmu, model, tmp_path, stderr=subprocess.PIPE)
    wait_for_journal(process, tmp_path, 3000)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert b"the same command goes on from here" in told
    assert b"Traceback" not in told
    assert not list(tmp_path.glob("*/red-1.0.0"))
    assert start(cmu, model, tmp_path).wait() == 0
    assert flag_and_record(tmp_path)[1]["tiles"]["resumed"] > 0
