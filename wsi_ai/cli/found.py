"""What is said of the slides that a command found."""

import sys
from collections.abc import Sequence
from pathlib import Path

from wsi_ai.cli.output import say
from wsi_ai.core.wording import counted, verb
from wsi_ai.slides.inputs import Inputs


def say_found(found: Inputs, named: Sequence[Path]) -> None:
    if found.passed_over:
        count, kinds = len(found.passed_over), found.passed_over_by_kind()
        are = verb(count, "is no slide", "are no slides")
        say(f"wsi-ai: passed over {count} that {are}: {kinds}", sys.stderr)
    if len(found.slides) != len(named):
        say(f"wsi-ai: {counted(len(found.slides), 'slide')} to run", sys.stderr)
