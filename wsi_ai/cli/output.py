"""What commands print, and how they end: a message and an exit status."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import wraps
from typing import ParamSpec, TextIO

import typer

from wsi_ai.core.plugins import missing
from wsi_ai.errors import WsiAiError

P = ParamSpec("P")


class Exit(IntEnum):
    """The exit statuses of every command; README has them as a table."""

    OK = 0
    SOME = 1
    """The command ran, and something needs a person: a slide that was not assessed, a runtime that
    was refused, a delivery that is still to be made."""
    USAGE = 2
    """The command, the model or the policy is wrong."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it."""


def say(text: str, stream: TextIO) -> None:
    """A line, at once.  That nobody reads it any more, as after ``| head -1``, changes no result:
    from then on the stream goes nowhere."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def log_from(level: int) -> None:
    """What is at least as serious as ``level`` goes to stderr."""
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def exit_on_error(command: Callable[P, int]) -> Callable[P, int]:
    """Print what went wrong as one line, and end with ``Exit.USAGE``; with ``Exit.INTERRUPTED``
    after Ctrl-C."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except WsiAiError as error:
            say(f"wsi-ai: {error}", sys.stderr)
            return Exit.USAGE
        except KeyboardInterrupt:
            say("wsi-ai: stopped; the same command goes on from here", sys.stderr)
            return Exit.INTERRUPTED

    return run


@contextmanager
def extra(name: str) -> Iterator[None]:
    """For imports that need the extra ``name``: without it, say so and end."""
    try:
        yield
    except ModuleNotFoundError as error:
        say(f"wsi-ai: {missing(error, name)}", sys.stderr)
        raise typer.Exit(Exit.USAGE) from None
