"""Whose slide is it?  Every source says what it knows; all that is known must agree.

Sources: a table (``--cases cases.csv`` or ``.json``), the DICOM header, a pattern over file names
(``--cases cases.toml``).  What a source leaves empty it does not know.
"""

import csv
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.core.flags import Identity
from wsi_ai.errors import IdentityInDoubt, PolicyError

FIELDS = tuple(f.name for f in fields(Identity))
_NEEDED = "trust", "accession", "slide_id"

Claim = Mapping[str, str]
"""What one source says, by the names of Identity's fields."""


@dataclass(frozen=True, slots=True)
class Cases:
    """What a site says about its slides."""

    rows: Mapping[str, Claim] = field(default_factory=dict, repr=False)
    """By file name; a name without suffix counts for any suffix."""
    pattern: re.Pattern[str] | None = None
    every_slide: Claim = field(default_factory=dict)

    def claims(self, path: Path) -> list[Claim]:
        """All that is said of one file.  Raises IdentityInDoubt where the file's name does not fit
        the site's own pattern."""
        said = [self.every_slide]
        said += [self.rows[name] for name in (path.name, path.stem) if name in self.rows]
        if self.pattern is not None:
            match = self.pattern.fullmatch(path.stem)
            if match is None:
                raise IdentityInDoubt("the file's name does not follow the site's pattern")
            said.append(_known(match.groupdict()))
        return said

    def identity_of(self, path: Path) -> Identity | None:
        """By these alone, for a slide that nothing else is known of; ``None`` also in doubt."""
        try:
            return agreed(self.claims(path))
        except IdentityInDoubt:
            return None


def agreed(claims: Iterable[Claim]) -> Identity | None:
    """The identity that the claims make up together; ``None`` where too little is known.

    Raises IdentityInDoubt where two contradict each other.  It names the field, never its values.
    """
    known = merged(claims)
    if any(name not in known for name in _NEEDED):
        return None
    return Identity(**known)


def merged(claims: Iterable[Claim]) -> dict[str, str]:
    """Raises IdentityInDoubt."""
    known: dict[str, str] = {}
    for claim in claims:
        for name, value in claim.items():
            if known.setdefault(name, value) != value:
                raise IdentityInDoubt(f"identity in doubt: the sources do not agree on {name}")
    return known


def dicom_claim(header: Mapping[str, Any]) -> Claim:
    """What a DICOM header says, by keyword.  It does not say whose trust it is."""
    named = {
        "accession": header.get("AccessionNumber"),
        "slide_id": header.get("ContainerIdentifier"),
    }
    return _known({name: None if value is None else str(value) for name, value in named.items()})


def load_cases(path: Path | None) -> Cases:
    """Raises PolicyError, which names the file, the line and the field, and no case."""
    if path is None:
        return Cases()
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise PolicyError(f"no cases: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyError(f"{path} is not UTF-8") from None
    read = {".csv": _from_csv, ".json": _from_json, ".toml": _from_toml}.get(path.suffix.lower())
    if read is None:
        raise PolicyError(f"{path}: cases are a .csv, .json or .toml file")
    return read(path, text)


def _from_csv(path: Path, text: str) -> Cases:
    table = csv.DictReader(text.splitlines(), strict=True)
    try:
        rows = list(table)
    except csv.Error as error:
        raise PolicyError(f"{path}: line {table.line_num}: {error}") from None
    return Cases(_rows(path, rows))


def _from_json(path: Path, text: str) -> Cases:
    try:
        rows = json.loads(text)
    except ValueError:
        raise PolicyError(f"{path} is not valid JSON") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PolicyError(f"{path}: a list of objects is needed, one a slide")
    return Cases(_rows(path, rows))


def _from_toml(path: Path, text: str) -> Cases:
    try:
        table = tomllib.loads(text)
        if wrong := schemas.complaint("cases-1", table):
            raise PolicyError(f"{path}: {wrong}")
        pattern = re.compile(table["file_name"]) if "file_name" in table else None
    except (tomllib.TOMLDecodeError, re.error) as error:
        raise PolicyError(f"{path} is not valid: {error}") from None
    unknown = set(pattern.groupindex if pattern else ()) - set(FIELDS)
    if unknown:
        raise PolicyError(f"{path}: file_name: no such field: {', '.join(sorted(unknown))}")
    rows = load_cases(path.parent / table["table"]).rows if "table" in table else {}
    return Cases(rows, pattern, table.get("every_slide", {}))


def _rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for number, row in enumerate(rows, 1):
        unknown = set(row) - {*FIELDS, "file"}
        if unknown or not row.get("file"):
            told = ", ".join(sorted(map(str, unknown))) or "file is missing"
            raise PolicyError(f"{path}: row {number}: {told}; fields are file, {', '.join(FIELDS)}")
        if row["file"] in found:
            raise PolicyError(f"{path}: row {number}: the same file again")
        found[row["file"]] = _known({name: row.get(name) for name in FIELDS})
    return found


def _known(said: Mapping[str, str | None]) -> dict[str, str]:
    told = {name: value.strip() for name, value in said.items() if value is not None}
    return {name: value for name, value in told.items() if value and name in FIELDS}
