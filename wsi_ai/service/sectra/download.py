"""A slide's files from the PACS into a folder, under names that can do no harm."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from wsi_ai.delivery.sinks.http import Answer
from wsi_ai.errors import TryAgain

_LONGEST = 120
_MOST_BEFORE = 1 << 16
_MIRAX = ".mrxs"
_CUT_OFF = "the PACS's files broke off, or cannot be read"


def safe_name(given: str) -> str:
    """The last part of a name that a server gives, with nothing in it that a disk or a shell
    obeys."""
    last = PurePosixPath(given.replace("\\", "/")).name
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".-")
    stem, dot, suffix = plain.rpartition(".")
    return (stem[: _LONGEST - len(suffix)] + dot + suffix if dot else plain)[:_LONGEST] or "slide"


def save(answer: Answer, pieces: Iterator[bytes], folder: Path) -> Path:
    """The slide: its one file, or the folder of several.  Raises TryAgain, or OSError."""
    kind, options = parse_options_header(answer.headers.get("content-type", ""))
    if kind != b"multipart/related":
        path = folder / _named(answer.headers.get("content-disposition", ""))
        with path.open("xb") as file:
            _copy(pieces, file, answer.headers)
        return path
    boundary = options.get(b"boundary", b"")
    parts = _Parts(folder)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        for piece in _from_first_part(pieces, b"--" + boundary):
            parser.write(piece)
    except (FormParserError, ValueError):
        raise TryAgain(_CUT_OFF) from None
    finally:
        parts.close()
    if not parts.complete or not parts.paths:
        raise TryAgain(_CUT_OFF)
    return _main_of(parts.paths, folder)


def _from_first_part(pieces: Iterator[bytes], start: bytes) -> Iterator[bytes]:
    """Without what may stand before the first part (RFC 2046)."""
    begun = b""
    for piece in pieces:
        begun += piece
        if begun.startswith(start) or b"\n" + start in begun:
            yield begun[begun.index(start) :]
            yield from pieces
        elif len(begun) > _MOST_BEFORE:
            raise TryAgain(_CUT_OFF)


def _copy(pieces: Iterator[bytes], file: BinaryIO, headers: Mapping[str, str]) -> None:
    size = sum(file.write(piece) for piece in pieces)
    given = headers.get("content-length", "")
    if given.isdecimal() and int(given) != size:
        raise TryAgain(_CUT_OFF)


def _named(disposition: str) -> str:
    _, options = parse_options_header(disposition)
    return safe_name(options.get(b"filename", b"").decode("utf-8", "replace"))


def _main_of(paths: list[Path], folder: Path) -> Path:
    """Of MIRAX slides the file beside a folder of its name; of others the folder of all."""
    main = [path for path in paths if path.suffix.lower() == _MIRAX]
    if len(main) != 1:
        return folder if len(paths) > 1 else paths[0]
    data = folder / main[0].stem
    data.mkdir()
    for path in paths:
        if path != main[0]:
            path.rename(data / path.name)
    return main[0]


class _Parts:
    """Of a multipart answer, each into its file while it comes."""

    def __init__(self, folder: Path) -> None:
        self.paths = list[Path]()
        self.complete = False
        self._folder = folder
        self._field, self._value, self._disposition = b"", b"", ""
        self._file: BinaryIO | None = None

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_field,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._take,
            "on_part_end": self.close,
            "on_end": self._end,
        }

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._field, self._value, self._disposition = b"", b"", ""

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value.decode("utf-8", "replace")
        self._field, self._value = b"", b""

    def _open(self) -> None:
        name = _named(self._disposition)
        path = self._folder / name
        if path in self.paths:
            path = self._folder / f"{len(self.paths)}-{name}"
        self.paths.append(path)
        self._file = path.open("xb")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])

    def _end(self) -> None:
        self.complete = True
