"""The reference standard: what each case really was, from people who did not see the flag.

One row a case, all columns text.  Messages name a line and a column, and never what stands there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from wsi_ai.core.regular_file import read_regular
from wsi_ai.errors import TrialError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, text_of
from wsi_ai.slides.spreadsheet import NoTable, Row, Sheet, read_sheet, unfit
from wsi_ai.trial.documents import Document

_NEEDED = ("trust", "accession", "patient", "result", "certainty")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WORDS: Mapping[str, frozenset[str]] = {
    "certainty": frozenset({"definite", "indeterminate"}),
    "reader_grade": frozenset({"consultant", "registrar", "panel", ""}),
    "saw_ai": frozenset({"no", "yes", "unknown", ""}),
    "adjudicated": frozenset({"yes", "no", ""}),
}
_CODES = ("result", "severity", "alternative", "second_result")
_TIMES = ("reported_at", "received_at", "scanned_at")
_COLUMNS = frozenset({*_NEEDED, "issuer", *_WORDS, *_CODES, *_TIMES})
_WEIGHTS = range(10, 1, -1)


class Truth(StrEnum):
    """As the trial counts it."""

    CONDITION = "condition"
    NONE = "none"
    INDETERMINATE = "indeterminate"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Which case; joins with a flag's tenant and case."""

    trust: str
    issuer: str
    accession: str


@dataclass(frozen=True, slots=True)
class Reference:
    """One case."""

    identity: Identity
    patient: str
    truth: Truth
    result: str
    saw_ai: bool
    """Or nobody knows: then it counts as if they had."""
    times_in_order: bool
    received: datetime | None = None
    reported: datetime | None = None
    second: Truth | None = None
    """By another reader, where there was one."""
    severity: str = ""
    reader_grade: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """Of every case once, and what is wrong with the file as a whole."""

    cases: tuple[Reference, ...]
    twice: int
    """Cases with two rows or more."""
    contradictions: tuple[tuple[int, ...], ...]
    """Lines that are about one case and do not agree on it; none of them is among the cases."""

    def number(self, truth: Truth) -> int:
        return sum(case.truth is truth for case in self.cases)


def load_reference(path: Path, target: Document) -> ReferenceTable:
    """``target`` is the protocol's.  Raises TrialError, which names the line and the column."""
    try:
        return parse_reference(read_regular(path, TABLE_BYTES), target)
    except OSError:
        raise TrialError(f"{path.name} cannot be read") from None


def parse_reference(content: bytes, target: Document) -> ReferenceTable:
    """The same of a file's content, which is what is locked."""
    try:
        sheet = read_sheet(text_of(content))
    except (NoTable, Unreadable) as error:
        raise TrialError(f"the reference {error}") from None
    _check_columns(sheet)
    rows: dict[Identity, list[tuple[int, Reference]]] = {}
    for row in sheet.rows:
        _check_row(row)
        made = _reference(row, target)
        rows.setdefault(made.identity, []).append((row.line, made))
    return _table(rows.values())


def is_nhs_number(text: str) -> bool:
    """Ten digits that pass the modulus-11 check, however they are spaced."""
    digits = re.sub(r"[\s-]", "", text)
    if re.fullmatch(r"[0-9]{10}", digits) is None:
        return False
    total = sum(w * int(d) for w, d in zip(_WEIGHTS, digits[:9], strict=True))
    return (11 - total % 11) % 11 == int(digits[9])


def _table(rows: Iterable[list[tuple[int, Reference]]]) -> ReferenceTable:
    cases, twice, contradictions = [], 0, []
    for same in rows:
        twice += len(same) > 1
        if len({(made.patient, made.truth, made.result) for _, made in same}) > 1:
            contradictions.append(tuple(line for line, _ in same))
        else:
            cases.append(_least_sure(made for _, made in same))
    return ReferenceTable(tuple(cases), twice, tuple(contradictions))


def _least_sure(same: Iterable[Reference]) -> Reference:
    """Of rows that agree: one reader who saw the flag is enough."""
    return max(same, key=lambda made: (made.saw_ai, not made.times_in_order))


def _check_columns(sheet: Sheet) -> None:
    if missing := [name for name in _NEEDED if name not in sheet.columns]:
        raise TrialError(f"the reference has no column {missing[0]!r}")
    if unknown := [name for name in sheet.columns if name not in _COLUMNS]:
        raise TrialError(f"the reference has a column that there is not: {unknown[0][:64]!r}")


def _check_row(row: Row) -> None:
    wrong = _wrong_column(row)
    if wrong is not None:
        raise TrialError(f"line {row.line} of the reference: {wrong}")


def _wrong_column(row: Row) -> str | None:
    if row.rest:
        return "has more cells than there are columns"
    return _unreadable(row) or _not_a_word(row) or _not_a_code_or_time(row)


def _unreadable(row: Row) -> str | None:
    if empty := [name for name in ("trust", "accession", "patient") if not row.cells.get(name)]:
        return f"{empty[0]}: is empty"
    if unseen := [name for name, cell in row.cells.items() if unfit(cell)]:
        return f"{unseen[0]}: has a character that cannot be seen"
    if is_nhs_number(row.cells["patient"]):
        return "patient: looks like an NHS number; give a pseudonym"
    return None


def _not_a_word(row: Row) -> str | None:
    for name, words in _WORDS.items():
        if row.cells.get(name, "") not in words and not (name == "certainty" and _is_missing(row)):
            return f"{name}: is not one of {', '.join(sorted(filter(None, words)))}"
    return None


def _not_a_code_or_time(row: Row) -> str | None:
    for name in _CODES:
        if row.cells.get(name) and _CODE.fullmatch(row.cells[name]) is None:
            return f"{name}: is not a code"
    times = [name for name in _TIMES if row.cells.get(name) and _time(row, name) is None]
    return f"{times[0]}: is not a time with a zone, as 2027-01-04T09:00:00Z" if times else None


def _is_missing(row: Row) -> bool:
    return not row.cells.get("result") and not row.cells.get("certainty")


def _reference(row: Row, target: Document) -> Reference:
    cells = row.cells
    identity = Identity(cells["trust"], cells.get("issuer", ""), cells["accession"])
    received, reported = _time(row, "received_at"), _time(row, "reported_at")
    return Reference(
        identity=identity,
        patient=cells["patient"],
        truth=_truth(row, target),
        result=cells.get("result", ""),
        saw_ai=cells.get("saw_ai", "") in ("yes", "unknown"),
        times_in_order=received is None or reported is None or received <= reported,
        received=received,
        reported=reported,
        second=_second(cells.get("second_result", ""), target),
        severity=cells.get("severity", ""),
        reader_grade=cells.get("reader_grade", ""),
    )


def _truth(row: Row, target: Document) -> Truth:
    result = row.cells.get("result", "")
    if not result:
        return Truth.MISSING
    if row.cells["certainty"] == "indeterminate":
        as_asked = {
            "exclude": Truth.INDETERMINATE,
            "positive": Truth.CONDITION,
            "negative": Truth.NONE,
        }
        return as_asked[target["indeterminate"]]
    return Truth.CONDITION if result in target["positive"] else Truth.NONE


def _second(code: str, target: Document) -> Truth | None:
    if not code:
        return None
    return Truth.CONDITION if code in target["positive"] else Truth.NONE


def _time(row: Row, column: str) -> datetime | None:
    try:
        made = datetime.fromisoformat(row.cells.get(column, ""))
    except ValueError:
        return None
    return made if made.tzinfo is not None else None
