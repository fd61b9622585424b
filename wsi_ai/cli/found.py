"""What is said of the slides that a command found."""

import sys
from collections.abc import Sequence
from pathlib import Path

from wsi_ai.app import Inputs
from wsi_ai.cli.output import say


def say_found(found: Inputs, named: Sequence[Path]) -> None:
    if found.passed_over:
        count, kinds = len(found.passed_over), found.passed_over_by_kind()
        say(f"wsi-ai: passed over {count} that are no slides: {kinds}", sys.stderr)
    if len(found.slides) != len(named):
        say(f"wsi-ai: {len(found.slides)} slides to run", sys.stderr)
