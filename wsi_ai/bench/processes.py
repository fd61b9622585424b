"""A command in a process of its own: how long it takes, and the most memory that it holds."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CODE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""A small process starts the large one: Linux counts what the one that starts it holds into the
peak of the one that is started."""


@dataclass(frozen=True, slots=True)
class ProcessCost:
    exit_status: int
    wall_s: float
    cpu_s: float
    """Of it and of all that it waited for."""
    peak_mib: float
    """Resident, of the largest single process of them."""


def cost_of(
    words: Sequence[str], environment: Mapping[str, str] | None = None, *, quiet: bool = False
) -> ProcessCost:
    """Run it once.  What it prints goes to our standard error; with ``quiet`` nowhere."""
    more: dict[str, Any] = {"stderr": subprocess.DEVNULL} if quiet else {}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=None if environment is None else dict(environment),
        **more,
    )
    code, wall, cpu, peak = done.stdout.split()
    return ProcessCost(int(code), float(wall), float(cpu), int(peak) / 1024)
