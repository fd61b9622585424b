"""Append-only JSON lines, each bound to the one before by its hash.

A line that was changed, taken out or put in is found by ``verify``.  Lines cut off at the end are
found only by comparing with a head that was kept elsewhere.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from wsi_ai.core.files import locked
from wsi_ai.errors import OutputError, WsiAiError

START = "0" * 64
"""What the first line is bound to."""
_TAIL_BYTES = 1 << 16

Entry = Mapping[str, Any]


class AuditBroken(WsiAiError):
    """The chain does not hold."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: keep it elsewhere, and nothing can be cut off unseen."""

    lines: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Audit:
    """A file that any number of processes append to."""

    path: Path
    now: Callable[[], str] = field(repr=False)
    """The time as the lines tell it."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries, in order.  Raises OutputError, and then the next one to append repairs a
        line that was half written."""
        try:
            with self.path.open("a+b") as file, locked(file):
                head = _head(file)
                lines = bytearray()
                for entry in entries:
                    line = _line(head, {"time": self.now(), **entry})
                    head = Head(head.lines + 1, hashlib.sha256(line).hexdigest())
                    lines += line + b"\n"
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"the audit cannot be written: {error.strerror}") from None


def verify(path: Path) -> Head:
    """Walk the chain.  Raises AuditBroken, which says at which line, or OutputError."""
    head = Head(0, START)
    try:
        with path.open("rb") as file:
            for line in file:
                head = _next(head, line)
    except OSError as error:
        raise OutputError(f"the audit cannot be read: {error.strerror}") from None
    return head


def _next(head: Head, line: bytes) -> Head:
    number = head.lines + 1
    if not line.endswith(b"\n"):
        raise AuditBroken(f"line {number} was never finished")
    try:
        entry = json.loads(line)
        bound = entry["n"], entry["previous"]
    except (ValueError, KeyError, TypeError):
        raise AuditBroken(f"line {number} is not an entry") from None
    if bound != (number, head.sha256):
        raise AuditBroken(f"line {number} does not follow the one before it")
    return Head(number, hashlib.sha256(line[:-1]).hexdigest())


def _line(head: Head, entry: Entry) -> bytes:
    bound = {"n": head.lines + 1, "previous": head.sha256, **entry}
    return json.dumps(bound, separators=(",", ":")).encode()


def _head(file: BinaryIO) -> Head:
    """From the last line; a half-written one, which no one relied on yet, is cut off."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    whole = tail[: tail.rfind(b"\n") + 1]
    if len(whole) < len(tail):
        file.truncate(start + len(whole))
    if not whole:
        return Head(0, START)
    last = whole[:-1].rpartition(b"\n")[2]
    return Head(json.loads(last)["n"], hashlib.sha256(last).hexdigest())
