"""The one reader of TOML and JSON that people or other programs wrote.

A number that is not finite compares as false with everything, a key that stands twice has two
meanings, and nesting without end is an attack: so none of them gets past here, and what comes out
needs no second look.
"""

import errno
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SETTINGS_BYTES = 1 << 20
"""More than any settings that a person writes."""
TABLE_BYTES = 1 << 26
"""More than any table that a program writes for us: cases, golden tiles, the record of a run."""
_DEEPEST = 32
_LARGEST = 1 << 63
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_DOTTED = re.compile(rf"(?m:^|[\[{{,])[ \t]*+(?:{_PART}){{{_DEEPEST}}}")
_LONGEST_INTEGER = 20
"""Digits and a sign: no number of 64 bits has more."""


class Unreadable(ValueError):
    """What is wrong, as the end of a sentence that begins with the file's name."""


def content_of(path: Path, most_bytes: int) -> bytes:
    """All of a file, which is no pipe or device and not larger.  Raises OSError or Unreadable."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(kind):
            raise Unreadable("is a pipe or a device, and no file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(handle)
    if len(content) > most_bytes:
        raise Unreadable(f"is larger than {most_bytes >> 10} KiB")
    return content


def text_of(content: bytes) -> str:
    """UTF-8, with or without the mark at its beginning.  Raises Unreadable."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None


def from_toml(content: bytes) -> dict[str, Any]:
    """Raises Unreadable."""
    text = text_of(content)
    if _DOTTED.search(text):  # tomllib takes minutes over a dotted key of a million parts
        raise Unreadable(f"is nested more than {_DEEPEST} deep")
    table: dict[str, Any] = _parsed(lambda: tomllib.loads(text, parse_float=_float), "TOML")
    return table


def from_json(content: bytes | str) -> Any:
    """Raises Unreadable."""
    text = content if isinstance(content, str) else text_of(content)
    return _parsed(
        lambda: json.loads(text, object_pairs_hook=_object, parse_float=_float, parse_int=_integer),
        "JSON",
    )


def _parsed(parse: Callable[[], Any], language: str) -> Any:
    try:
        made = parse()
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable(f"is nested more than {_DEEPEST} deep") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise Unreadable(f"is not valid {language}: {error}") from None
    except ValueError:  # a whole number of thousands of digits, a date that there is not
        raise Unreadable(f"is not valid {language}: a number or a date that cannot be") from None
    for wrong in _complaints(made):
        raise Unreadable(wrong)
    return made


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise Unreadable(f"has the key {key[:64]!r} twice")
        made[key] = value
    return made


def _float(text: str) -> float:
    """Without the sign of zero, which no setting has a meaning for."""
    return float(text) + 0.0


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError
    return int(text)


def _complaints(made: Any) -> Iterator[str]:
    """Breadth first, so that no depth is too deep to be looked at."""
    level: list[tuple[str, Any]] = [("", made)]
    for _ in range(_DEEPEST):
        for path, value in level:
            if isinstance(value, float) and not math.isfinite(value):
                yield f"says {path or 'a number'}: {value} is no number to reckon with"
            elif isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
                yield f"says {path or 'a number'}: a number of more than 64 bits"
        level = [inside for path, value in level for inside in _inside(path, value)]
    if level:
        yield f"is nested more than {_DEEPEST} deep"


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        parts: Iterator[tuple[Any, Any]] = iter(value.items())
    elif isinstance(value, list):
        parts = iter(enumerate(value))
    else:
        return
    for name, part in parts:
        yield (f"{path}.{name}" if path else str(name)), part
