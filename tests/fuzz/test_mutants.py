"""No damaged slide crashes, hangs, eats memory, passes for whole, or comes out `standard` without a
proof that nobody could have seen it."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT, find_shared
from tests.depth import depth
from tests.fuzz.read_mutants import LIMIT_BYTES, LIMIT_S, UNPROVEN
from tests.fuzz.samples import WRITERS, write_samples

_MUTANTS = depth(28, 2000, "WSI_AI_MUTANTS")
"""Of all readers' samples together, which come first, undamaged."""
_A_PROCESS = 100
_MOST_EXCUSED = 0.01


def test_no_damaged_slide_crashes_hangs_or_comes_out_standard(tmp_path: Path) -> None:
    shared = find_shared()
    if shared is None or not (shared / "cases" / "reading").is_dir():
        pytest.skip("no ../shared/cases beside the project: the pixels of the samples are missing")
    write_samples(shared, tmp_path / "samples")
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    standard: list[str] = []
    first = 0
    while first < _MUTANTS:
        stop = min(first + _A_PROCESS, _MUTANTS)
        lines, end = _judged(tmp_path / "samples", first, stop)
        for line in lines:
            number, seconds, mib = line.split()[:3]
            level = line.split("->")[1].split()[0]
            outcomes[level] += 1
            greedy = float(seconds) > LIMIT_S or int(mib) > LIMIT_BYTES >> 20
            spoilt = int(number) < len(WRITERS) and level != "expedite"
            if greedy or spoilt or "FALSE-SUCCESS" in line:
                bad.append(line)
            if level == "standard":
                standard.append(line)
        if len(lines) < stop - first:
            bad.append(f"mutant {first + len(lines)} ended its process:\n{end}")
        first += max(len(lines), 1) if len(lines) == stop - first else len(lines) + 1
    print(f"{_MUTANTS} mutants: {dict(outcomes)}, {len(bad)} bad; standard: {len(standard)}")
    print("\n".join(standard))
    assert not bad, "\n".join(bad)
    assert not [line for line in standard if UNPROVEN in line], "\n".join(standard)
    assert len(standard) <= max(1, _MOST_EXCUSED * _MUTANTS), "\n".join(standard)


def _judged(samples: Path, first: int, stop: int) -> tuple[list[str], str]:
    """A line for each mutant, and what the process had to say at its end."""
    command = [sys.executable, "-m", "tests.fuzz.read_mutants", str(samples)]
    done = subprocess.run(
        [*command, str(first), str(stop)], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.splitlines(), done.stderr[-3000:]
