"""What commands say, and how they end: a message and an exit status."""

import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import ParamSpec, TextIO

import typer

from wsi_ai.core.plugins import missing
from wsi_ai.errors import WsiAiError

OK, SOME, USAGE = 0, 1, 2
P = ParamSpec("P")


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
    """Say what went wrong in one line, and end with 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except WsiAiError as error:
            say(f"wsi-ai: {error}", sys.stderr)
            return USAGE

    return run


def service(module: str) -> ModuleType:
    """A module that needs the extra ``service``; without it, say so and end."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        print(f"wsi-ai: {missing(error, 'service')}", file=sys.stderr)
        raise typer.Exit(2) from None
