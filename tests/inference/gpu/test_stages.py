"""``benchmarks/gpu.sh`` where things are missing: each stage says what, and the next goes on."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

STAGES = ["kernel", "codec", "tests", "blocking", "sanitizer", "rates", "networks", "end-to-end"]


def run(folder: Path, python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """With a program in the place of Python."""
    stand_in = folder / "python"
    stand_in.write_text(f"#!/bin/sh\n{python}\n")
    stand_in.chmod(0o755)
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--out", str(folder / "out"), *arguments]
    given = os.environ | {"PYTHON": str(stand_in)}
    return subprocess.run(command, capture_output=True, text=True, env=given, check=False)


def test_every_stage_names_the_library_it_lacks_and_the_next_one_goes_on(tmp_path: Path) -> None:
    done = run(tmp_path, "exit 1")
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        assert f"== {stage}: not here: " in done.stdout
    assert not list((tmp_path / "out").glob("*.jsonl")), "no figure that was not measured"


def test_a_stage_that_fails_is_told_of_at_the_end_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Imports work, and nothing else does."""
    done = run(tmp_path, '[ "$1" = -c ]', "kernel", "codec")
    assert done.returncode == 1
    assert "== failed: kernel" in done.stdout
    assert "== failed: codec" in done.stdout


def test_only_the_rows_of_a_stage_are_figures(tmp_path: Path) -> None:
    rows = 'echo "a word"; echo \'{"name": "x", "us": 1}\''
    done = run(tmp_path, f'[ "$1" = -c ] || {{ {rows}; }}', "kernel")
    assert done.returncode == 0
    assert (tmp_path / "out" / "kernel.jsonl").read_text() == '{"name": "x", "us": 1}\n'


@pytest.mark.parametrize("argument", ["nonsense", "--nonsense"])
def test_what_is_no_stage_is_refused_before_anything_is_written(
    tmp_path: Path, argument: str
) -> None:
    done = run(tmp_path, "exit 1", argument)
    assert done.returncode == 2
    assert "no such" in done.stderr
    assert not (tmp_path / "out").exists()
