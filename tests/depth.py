"""How far the tests go: each day as far as minutes do, and every night all the way, by ``make
nightly`` with its ``WSI_AI_SLOW=1``."""

import os
from typing import Any

import pytest

NIGHTLY = os.environ.get("WSI_AI_SLOW") == "1"


def depth(daily: int, nightly: int, name: str = "") -> int:
    """How many of a kind; where the environment has the ``name``, what it says."""
    return int(os.environ.get(name) or (nightly if NIGHTLY else daily))


def nightly(*values: Any) -> Any:
    """Parameters of a test for which the other ones are enough each day."""
    return pytest.param(*values, marks=pytest.mark.slow)
