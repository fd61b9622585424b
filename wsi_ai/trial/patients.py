"""Who the patients are, as far as equity asks: one row a pseudonym, codes of national standards.

Categories are those of the 2001 census (A to S, as the NHS Data Dictionary has them), in its
groups: White A–C, Mixed D–G, Asian H–L, Black M–P, Other R–S.  "Not stated" (Z) and "not known"
(99) are levels of their own.  Messages name a line and a column, and never what stands there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.core.regular_file import read_regular
from wsi_ai.errors import TrialError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, text_of
from wsi_ai.slides.spreadsheet import NoTable, Row, read_sheet, unfit
from wsi_ai.trial.documents import Document
from wsi_ai.trial.reference import is_nhs_number

NOT_STATED, NOT_LISTED = "not_stated", "not_listed"
_ALLOWED: Mapping[str, re.Pattern[str]] = {
    "sex": re.compile(r"[129X]?"),
    "age": re.compile(r"(1[0-2][0-9]|[1-9]?[0-9])?"),
    "ethnic_category": re.compile(r"([A-H]|[J-N]|[PRSZ]|99)?"),
    "imd_quintile": re.compile(r"[1-5]?"),
    "imd_edition": re.compile(r"(2019|2025)?"),
}
_GROUPS = {"white": "ABC", "mixed": "DEFG", "asian": "HJKL", "black": "MNP", "other": "RS"}
_GROUP_OF = {letter: group for group, letters in _GROUPS.items() for letter in letters}
_BAND = re.compile(r"([0-9]{1,3})-([0-9]{0,3})")
_OLDEST = 90


@dataclass(frozen=True, slots=True)
class Patient:
    """By column; empty where nothing is stated.  Ages from 90 on are one."""

    columns: Mapping[str, str]


def load_patients(path: Path) -> dict[str, Patient]:
    """By pseudonym.  Raises TrialError, which names the line and the column."""
    try:
        sheet = read_sheet(text_of(read_regular(path, TABLE_BYTES)))
    except OSError:
        raise TrialError(f"{path.name} cannot be read") from None
    except (NoTable, Unreadable) as error:
        raise TrialError(f"the table of patients {error}") from None
    if "patient" not in sheet.columns:
        raise TrialError("the table of patients has no column 'patient'")
    if unknown := [name for name in sheet.columns if name not in {"patient", *_ALLOWED}]:
        raise TrialError(f"the table of patients has a column that there is not: {unknown[0]!r}")
    found: dict[str, Patient] = {}
    for row in sheet.rows:
        if wrong := _wrong(row, found):
            raise TrialError(f"line {row.line} of the table of patients: {wrong}")
        found[row.cells["patient"]] = Patient(_columns(row))
    if len({one.columns.get("imd_edition", "") for one in found.values()} - {""}) > 1:
        raise TrialError("imd_edition: two editions of the index are never mixed")
    return found


def _wrong(row: Row, before: Mapping[str, Patient]) -> str | None:
    name = row.cells.get("patient", "")
    if row.rest:
        return "has more cells than there are columns"
    if not name or unfit(name):
        return "patient: is empty, or has a character that cannot be seen"
    if is_nhs_number(name):
        return "patient: looks like an NHS number; give a pseudonym"
    if name in before:
        return "patient: is there twice"
    for column, allowed in _ALLOWED.items():
        if allowed.fullmatch(row.cells.get(column, "")) is None:
            return f"{column}: is not a code of this column"
    return None


def _columns(row: Row) -> dict[str, str]:
    found = {column: row.cells.get(column, "") for column in _ALLOWED}
    if found["age"]:
        found["age"] = str(min(_OLDEST, int(found["age"])))
    return found


def level_of(subgroup: Document, value: str) -> str:
    """Which of the protocol's levels a value is of: by itself, by its ethnic group, by its band of
    ages (``50-69``, ``70-``).  What is stated and in none of them is ``not_listed``."""
    levels = subgroup["levels"]
    if value in levels:
        return value
    if subgroup["column"] == "ethnic_category":
        value = {"Z": NOT_STATED, "99": "not_known"}.get(value, _GROUP_OF.get(value, value))
    if subgroup["column"] == "age" and value:
        value = next((level for level in levels if _in_band(int(value), level)), value)
    if value in levels:
        return value
    return NOT_STATED if value in ("", NOT_STATED, "not_known") else NOT_LISTED


def _in_band(age: int, level: str) -> bool:
    band = _BAND.fullmatch(level)
    return band is not None and int(band[1]) <= age <= int(band[2] or 999)
