"""All roles on one machine: started again where they end, and ended in every case."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wsi_ai.service.serving.roles import Role, Supervisor, Unusable

PYTHON = (sys.executable, "-c")
WAITS = """
import os, pathlib, signal, sys, threading
from wsi_ai.core.parent import end_with_parent
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
end_with_parent()
place = pathlib.Path(sys.argv[1])
place.with_suffix(".tmp").write_text(str(os.getpid()))
place.with_suffix(".tmp").rename(place)
over.wait(60)
place.with_suffix(".ended").touch()
"""


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_a_role_that_is_killed_is_started_again_and_all_are_ended_in_order(tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    roles = [Role(place.name, (WAITS, str(place))) for place in places]
    stop = threading.Event()
    thread = threading.Thread(target=Supervisor(roles, PYTHON).run, args=(stop,))
    thread.start()
    until(lambda: all(place.exists() for place in places))
    first = int(places[0].read_text())
    places[0].unlink()
    os.kill(first, signal.SIGKILL)
    until(places[0].exists)
    pids = [int(place.read_text()) for place in places]
    assert pids[0] != first
    stop.set()
    thread.join(30)
    assert not any(map(lives, pids))
    assert all(place.with_suffix(".ended").exists() for place in places)


def test_a_role_that_refuses_its_command_ends_them_all_and_says_which(tmp_path: Path) -> None:
    fine = tmp_path / "a"
    roles = [Role("a", (WAITS, str(fine))), Role("watch", ("import sys; sys.exit(2)",))]
    with pytest.raises(Unusable, match="watch cannot be started"):
        Supervisor(roles, PYTHON).run(threading.Event())


def test_they_end_by_themselves_where_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "a"
    script = (
        "import sys, threading\n"
        "from wsi_ai.service.serving.roles import Role, Supervisor\n"
        "role = Role('a', (sys.argv[1], sys.argv[2]))\n"
        "Supervisor([role], (sys.executable, '-c')).run(threading.Event())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, WAITS, str(place)])
    until(place.exists)
    child = int(place.read_text())
    parent.kill()
    parent.wait()
    until(lambda: not lives(child))
    assert place.with_suffix(".ended").exists()
