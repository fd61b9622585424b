"""Results appear whole or not at all, also when the process is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsi_ai.errors import Busy, OutputError
from wsi_ai.results.folder import claimed, fresh_folder, hidden

CHILD = """
import sys, time
from pathlib import Path
from wsi_ai.results.folder import claimed, fresh_folder
with claimed(Path(sys.argv[1])), fresh_folder(Path(sys.argv[1])) as aside:
    (aside / "a").write_text("new")
    print("half", flush=True)
    time.sleep(60)
"""


def make(target: Path, text: str) -> None:
    with fresh_folder(target) as aside:
        (aside / "a").write_text(text)
        (aside / text).write_text("")


def fill_up(file: Path) -> None:
    file.write_text("new")
    raise OSError(28, "No space left on device")


def content(target: Path) -> set[str]:
    return {path.name for path in target.iterdir()} | {(target / "a").read_text()}


@pytest.fixture
def child(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that has written half of ``tmp_path / "t"`` and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "t")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_new_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "t"
    make(target, "old")
    make(target, "new")
    assert content(target) == {"a", "new"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_in_the_middle_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "t"
    make(target, "old")
    with pytest.raises(OutputError, match="No space left"), fresh_folder(target) as aside:
        fill_up(aside / "a")
    assert content(target) == {"a", "old"}
    assert list(tmp_path.iterdir()) == [target]


def test_killed_in_the_middle_the_old_one_stands_and_the_next_run_clears_up(
    tmp_path: Path, child: subprocess.Popen[str]
) -> None:
    target = tmp_path / "t"
    make_other = hidden(target, "new")
    assert make_other.exists()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not target.exists()
    with claimed(target):
        make(target, "after")
    assert content(target) == {"a", "after"}
    assert list(tmp_path.iterdir()) == [target]


def test_two_runs_cannot_work_on_one_slide_at_once(
    tmp_path: Path, child: subprocess.Popen[str]
) -> None:
    with pytest.raises(Busy), claimed(tmp_path / "t"):
        pass
    child.kill()
    child.wait()
    with claimed(tmp_path / "t"):
        pass


def test_a_crash_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    """Where the disk cannot swap two folders in one step."""
    target = tmp_path / "t"
    make(target, "old")
    target.rename(hidden(target, "old"))
    with claimed(target):
        assert content(target) == {"a", "old"}


def test_waiting_for_a_claim_is_not_needed(tmp_path: Path) -> None:
    start = time.monotonic()
    with claimed(tmp_path / "t"), pytest.raises(Busy), claimed(tmp_path / "t"):
        pass
    assert time.monotonic() - start < 1
