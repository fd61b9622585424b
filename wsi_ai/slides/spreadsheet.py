"""A table that a person keeps in a spreadsheet, as it comes out of "save as CSV".

Excel writes a mark at the beginning, semicolons where commas are decimal, a line ``sep=;``, capital
letters in headers, and rows and columns of nothing at the end.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from wsi_ai.core.printable import UNSEEN

_SEPARATORS = ",;\t"
_ERROR = re.compile(r"#(N/A|NAME\?|NULL!|NUM!|REF!|VALUE!|DIV/0!|#+)", re.IGNORECASE)
_ROUNDED = re.compile(r"\d[.,]\d+E\+\d+")
_END_OF_LINE = re.compile(r"\r\n|\n|\r")


class NoTable(ValueError):
    """What is wrong, as the end of a sentence that begins with the file's name."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is not empty: its cells by column, without the blanks around them."""

    line: int
    """Where it ends in the file."""
    cells: dict[str, str]
    rest: tuple[str, ...] = ()
    """Cells beyond the last column that say something."""


@dataclass(frozen=True, slots=True)
class Sheet:
    columns: tuple[str, ...]
    """In small letters."""
    rows: tuple[Row, ...]
    decimal_comma: bool = False
    """Whether numbers may be written so: another sign stands between the cells."""


def read_sheet(text: str) -> Sheet:
    """Raises NoTable."""
    separator, body, skipped = _separator(text)
    lines = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    try:
        columns = _columns(next(lines, []))
        rows = tuple(_rows(columns, lines, skipped))
    except csv.Error:
        line = lines.line_num + skipped
        raise NoTable(
            f"line {line}: its quotes are not those of a CSV file, or a cell has no end"
        ) from None
    return Sheet(columns, rows, separator == ";")


def unfit(text: str) -> str | None:
    """The first character that no name or number of a case has, as ``U+001D``.  A program that
    prints, cuts or compares the text might take it for an end."""
    for sign in text:
        if unicodedata.category(sign) in UNSEEN:
            return f"U+{ord(sign):04X}"
    return None


def spoilt(text: str) -> str | None:
    """Why this is no longer what somebody typed: a spreadsheet shows an error, or has rounded a
    long number.  The cells of two cases would then be the same."""
    if _ERROR.fullmatch(text):
        return "the spreadsheet shows an error there"
    if _ROUNDED.fullmatch(text):
        return "the spreadsheet has rounded a number there; make the column one of text"
    return None


def _separator(text: str) -> tuple[str, str, int]:
    """The sign between cells, the table itself, and the number of lines before it."""
    first, *rest = _END_OF_LINE.split(text, maxsplit=1)
    named = first.lower().removeprefix("sep=")
    if first.lower().startswith("sep=") and len(named) == 1:
        return named, "".join(rest), 1
    return max(_SEPARATORS, key=first.count), text, 0


def _columns(header: list[str]) -> tuple[str, ...]:
    columns = [name.strip().casefold() for name in header]
    while columns and not columns[-1]:
        columns.pop()
    for name in columns:
        if columns.count(name) > 1:
            raise NoTable(f"has the column {name[:64]!r} twice")
    return tuple(columns)


def _rows(columns: tuple[str, ...], lines: Iterator[list[str]], skipped: int) -> Iterator[Row]:
    for line in lines:
        cells = [cell.strip(" \t\u00a0") for cell in line]
        if any(cells):
            named = dict(zip(columns, cells, strict=False))
            rest = tuple(filter(None, cells[len(columns) :]))
            yield Row(lines.line_num + skipped, named, rest)  # type: ignore[attr-defined]
