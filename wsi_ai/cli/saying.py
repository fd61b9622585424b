"""How commands end: a message and an exit status."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from wsi_ai.errors import WsiAiError

OK, SOME, USAGE = 0, 1, 2
P = ParamSpec("P")


def told(command: Callable[P, int]) -> Callable[P, int]:
    """Say what went wrong in one line, and end with 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except WsiAiError as error:
            print(f"wsi-ai: {error}", file=sys.stderr)
            return USAGE

    return run
