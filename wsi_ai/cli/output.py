"""What commands print, and how they end: a message and an exit status."""

import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TextIO

import typer

from wsi_ai.core.logs import LogSettings, start_logging
from wsi_ai.core.plugins import missing
from wsi_ai.core.printable import printable
from wsi_ai.core.wording import counted, verb
from wsi_ai.errors import OutputError, WsiAiError

P = ParamSpec("P")


class Exit(IntEnum):
    """The exit statuses of every command; README has them as a table."""

    OK = 0
    SOME = 1
    """The command ran, and something needs a person: a slide that was not assessed, a runtime that
    was refused, a delivery that is still to be made."""
    USAGE = 2
    """The command, the model or the policy is wrong."""
    WAITING = 3
    """All slides were assessed; a flag still waits, or was not taken."""
    NOT_JUDGED = 4
    """Nothing worse, but some slides were not judged here: another process has them, or they were
    still being written."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it."""


_GRAVEST_FIRST = Exit.USAGE, Exit.SOME, Exit.NOT_JUDGED, Exit.WAITING


def gravest(found: Iterable[Exit]) -> Exit:
    """Of several; ``OK`` of none."""
    return min(found, key=_GRAVEST_FIRST.index, default=Exit.OK)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, as a service manager sends it, ends the block as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: str, stream: TextIO | None = None) -> None:
    """A line on ``stream`` (else on standard output), at once, with nothing in it that a terminal
    obeys.  That nobody reads it any more, as after ``| head -1``, changes no result: from then on
    the stream goes nowhere."""
    stream = stream or sys.stdout
    try:
        print(printable(text), file=stream, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def say_json(content: Any) -> None:
    """As JSON, line by line."""
    for line in json.dumps(content, indent=2, ensure_ascii=False).split("\n"):
        say(line)


def say_content(content: bytes) -> None:
    """Bytes as they are, into a file or a pipe; on a terminal, line by line."""
    if sys.stdout.isatty():
        for line in content.decode(errors="replace").splitlines():
            say(line)
        return
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


class _Logged(Protocol):
    """The arguments of a command that runs slides."""

    @property
    def verbose(self) -> bool: ...
    @property
    def log_file(self) -> Path | None: ...
    @property
    def log_format(self) -> str: ...


def run_logs(arguments: _Logged) -> LogSettings:
    level = logging.DEBUG if arguments.verbose else logging.ERROR
    return LogSettings(level, arguments.log_file, arguments.log_format == "json")


def service_logs(file: Path | None, form: str) -> LogSettings:
    """Of a command that runs until it is stopped: what happens is logged."""
    return LogSettings(logging.INFO, file, form == "json")


def log_to(settings: LogSettings) -> None:
    """Raises OutputError where the log's file cannot be written."""
    try:
        start_logging(settings)
    except OSError as error:
        raise OutputError(f"--log-file {settings.file}: {error.strerror}") from None


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


def adoption_lines(waiting: Mapping[str, int], database: str, send: Sequence[str]) -> list[str]:
    """What waits for sinks that are not set up, and the command that gives it to those that are."""
    there = "DB" if "://" in database else database  # a server's may hold a password
    asked = shlex.join(["--outbox", there, *(word for one in send for word in ("--send", one))])
    return [
        f"{counted(count, 'delivery')} {verb(count, 'waits', 'wait')} for {sink}, which is not"
        " among the sinks;"
        f" to send them: wsi-ai outbox adopt {shlex.quote(sink)} {asked}"
        for sink, count in waiting.items()
    ]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """For imports that need the extra ``name``: without it, say so and end."""
    try:
        yield
    except ModuleNotFoundError as error:
        say(f"wsi-ai: {missing(error, name)}", sys.stderr)
        raise typer.Exit(Exit.USAGE) from None
