"""No damaged slide crashes, hangs, eats memory, or passes for whole."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz.read_mutants import LIMIT_BYTES, LIMIT_S

_MUTANTS = int(os.environ.get("WSI_AI_MUTANTS", "200"))
_A_PROCESS = 50


def test_no_damaged_slide_crashes_hangs_or_passes_for_whole(shared_data: Path) -> None:
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    first = 0
    while first < _MUTANTS:
        stop = min(first + _A_PROCESS, _MUTANTS)
        command = [sys.executable, "-m", "tests.fuzz.read_mutants", str(shared_data)]
        done = subprocess.run(
            [*command, str(first), str(stop)], cwd=ROOT, capture_output=True, text=True
        )
        lines = done.stdout.splitlines()
        for line in lines:
            outcomes[" ".join(line.split("->")[1].split()[:1])] += 1
            _, seconds, mib = line.split()[:3]
            greedy = float(seconds) > LIMIT_S or int(mib) > LIMIT_BYTES >> 20
            if greedy or "FALSE-SUCCESS" in line:
                bad.append(line)
        if len(lines) < stop - first:
            bad.append(f"mutant {first + len(lines)} ended its process:\n{done.stderr[-3000:]}")
            lines.append("")
        first += len(lines)
    print(f"{_MUTANTS} mutants: {dict(outcomes)}, {len(bad)} bad")
    assert not bad, "\n".join(bad)
