"""What a process costs is its own."""

import sys

import numpy as np

from wsi_ai.bench.processes import cost_of


def test_the_memory_of_whoever_measures_is_not_counted_in() -> None:
    """Linux hands the peak of the process that forks on to the one that is started."""
    held = np.ones(400 << 20, np.uint8)
    small = cost_of([sys.executable, "-c", "pass"])
    del held
    assert small.peak_mib < 100


def test_what_a_process_holds_and_works_is_counted() -> None:
    code = "held = bytearray(b'x') * (200 << 20); sum(range(3_000_000)); raise SystemExit(3)"
    cost = cost_of([sys.executable, "-c", code])
    assert cost.exit_status == 3
    assert 200 < cost.peak_mib < 300
    assert 0 < cost.cpu_s <= 2 * cost.wall_s


def test_the_largest_process_counts_and_not_their_sum() -> None:
    code = "import subprocess, sys; held = bytearray(b'x') * (150 << 20); "
    code += "subprocess.run([sys.executable, '-c', 'pass'])"
    assert cost_of([sys.executable, "-c", code]).peak_mib < 250
