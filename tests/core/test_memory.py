"""Asked from the system: what a process holds once it has freed what it took."""

import subprocess
import sys

FREED_BETWEEN_BLOCKS_IN_USE = """
import sys
import numpy as np
from wsi_ai.core.memory import give_back, return_large_blocks

def held_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4 / 1024

if "return" in sys.argv:
    return_large_blocks()
np.ones(24 << 20, np.uint8)
start = held_mib()
large, small = [], []
for _ in range(40):
    large.append(np.ones(4 << 20, np.uint8))
    small.append(np.ones(100_000, np.uint8))
del large
if "give" in sys.argv:
    give_back()
print(held_mib() - start)
"""


def held_mib(*how: str) -> float:
    words = [sys.executable, "-c", FREED_BETWEEN_BLOCKS_IN_USE, *how]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def test_large_blocks_go_back_to_the_system_as_they_are_freed() -> None:
    assert held_mib("return") < 40


def test_freed_memory_can_be_given_back() -> None:
    assert held_mib("give") < 40
