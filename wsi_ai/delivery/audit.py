"""Append-only JSON lines, each bound to the one before by its hash.

A line that was changed, taken out or put in is found by ``verify``.  What was done to the last
lines, or to all of them at once, is found by comparing with a head that was kept elsewhere: the
heartbeat takes it to each receiver.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from wsi_ai.core.files import locked
from wsi_ai.errors import OutputError, WsiAiError

START = "0" * 64
"""What the first line is bound to."""
_TAIL_BYTES = 1 << 16
_BLANK = b" \t\r\n\0"
_HEAD = re.compile(r"(?:([0-9]{1,15}):)?([0-9a-f]{64})")

Entry = Mapping[str, Any]


class AuditBroken(WsiAiError):
    """The chain does not hold."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: keep it elsewhere, and nothing can be cut off unseen."""

    lines: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.lines}:{self.sha256}"


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
                head, cut = _mended(file)
                lines = bytearray()
                for entry in (*cut, *entries):
                    line = _line(head, {"time": self.now(), **entry})
                    head = Head(head.lines + 1, hashlib.sha256(line).hexdigest())
                    lines += line + b"\n"
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"the audit cannot be written: {error.strerror}") from None

    def head(self) -> Head:
        """Where it ends now.  Raises OutputError."""
        try:
            with self.path.open("a+b") as file, locked(file):
                return _mended(file)[0]
        except OSError as error:
            raise OutputError(f"the audit cannot be read: {error.strerror}") from None

    def head_if_whole(self) -> str | None:
        """The same as text; ``None`` where there is none to be trusted."""
        try:
            return str(self.head())
        except OutputError:
            return None


def verify(path: Path, kept: str | None = None) -> Head:
    """Walk the chain; ``kept`` is a head that it had once, ``LINES:SHA256`` or the hash alone.

    Raises AuditBroken, which says at which line, or OutputError.
    """
    lines, sha256 = kept_head(kept) if kept is not None else (0, START)
    head, seen = Head(0, START), (lines, sha256) == (0, START)
    try:
        with path.open("rb") as file:
            for line in file:
                head = _next(head, line)
                seen = seen or (head.sha256 == sha256 and lines in (None, head.lines))
    except OSError as error:
        raise OutputError(f"the audit cannot be read: {error.strerror}") from None
    if not seen:
        raise AuditBroken(
            f"its {head.lines} lines hold together, but it never had the head that was kept:"
            " lines were cut off, or the chain was made anew"
        )
    return head


def kept_head(text: str) -> tuple[int | None, str]:
    """As it is printed: number of lines, where it says so, and hash.  Raises OutputError."""
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise OutputError("a head is LINES:SHA256, as wsi-ai audit head prints it")
    return (None if match[1] is None else int(match[1]), match[2])


def _next(head: Head, line: bytes) -> Head:
    number = head.lines + 1
    if not line.endswith(b"\n"):
        raise AuditBroken(f"line {number} was never finished")
    try:
        entry = json.loads(line)
        bound = entry["n"], entry["previous"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise AuditBroken(f"line {number} is not an entry") from None
    if bound != (number, head.sha256):
        raise AuditBroken(f"line {number} does not follow the one before it")
    return Head(number, hashlib.sha256(line[:-1]).hexdigest())


def _line(head: Head, entry: Entry) -> bytes:
    bound = {"n": head.lines + 1, "previous": head.sha256, **entry}
    return json.dumps(bound, separators=(",", ":")).encode()


def _mended(file: BinaryIO) -> tuple[Head, list[Entry]]:
    """Where it ends, and what is to be said of what was cut off.

    A crash or a bad disk leaves a last line half written, blank or of no sense: no one relied on
    that yet.  Raises OutputError where more is damaged, or where it is no audit at all.
    """
    size, block = file.seek(0, os.SEEK_END), _TAIL_BYTES
    while True:
        start = max(0, size - block)
        file.seek(start)
        tail = file.read()
        whole = tail if start == 0 else tail.partition(b"\n")[2]
        good, head, bad = _last_entry(whole)
        if head is not None or start == 0:
            break
        block *= 4
    if sum(bool(line.strip(_BLANK)) for line in bad) > 1 or (head is None and _is_foreign(whole)):
        raise OutputError("the audit is damaged, or is none: keep it aside, and verify it")
    end = size - len(whole) + good
    file.truncate(end)
    whole_lines = [line for line in bad if line.endswith(b"\n") and line.strip(_BLANK)]
    told: list[Entry] = [{"what": "mended", "cut_bytes": size - end}] if whole_lines else []
    return head or Head(0, START), told


def _last_entry(text: bytes) -> tuple[int, Head | None, list[bytes]]:
    """Where the last entry ends, its head, and the lines behind it; the last first."""
    bad: list[bytes] = []
    end = len(text)
    for line in reversed(_lines(text)):
        if line.endswith(b"\n") and (number := _number(line)) is not None:
            return end, Head(number, hashlib.sha256(line[:-1]).hexdigest()), bad
        bad.append(line)
        end -= len(line)
    return 0, None, bad


def _lines(text: bytes) -> list[bytes]:
    return [line + b"\n" for line in text.split(b"\n")[:-1]] + [text.split(b"\n")[-1]]


def _number(line: bytes) -> int | None:
    try:
        entry = json.loads(line)
        number = entry["n"]
        return number if isinstance(number, int) and isinstance(entry["previous"], str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_foreign(text: bytes) -> bool:
    """Not even the beginning of a first entry."""
    return bool(text.strip(_BLANK)) and not b'{"n":1,'.startswith(text[:7])
