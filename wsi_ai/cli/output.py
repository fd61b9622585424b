"""What commands say, and how they end: a message and an exit status."""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
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


def adoption_lines(waiting: Mapping[str, int], database: str, send: Sequence[str]) -> list[str]:
    """What waits for sinks that are not set up, and the command that gives it to those that are."""
    there = "DB" if "://" in database else database  # a server's may hold a password
    asked = shlex.join(["--outbox", there, *(word for one in send for word in ("--send", one))])
    return [
        f"{count} deliveries wait for {sink}, which is not among the sinks;"
        f" to send them: wsi-ai outbox adopt {shlex.quote(sink)} {asked}"
        for sink, count in waiting.items()
    ]


def service(module: str) -> ModuleType:
    """A module that needs the extra ``service``; without it, say so and end."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        print(f"wsi-ai: {missing(error, 'service')}", file=sys.stderr)
        raise typer.Exit(2) from None
