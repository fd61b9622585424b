"""Whose slide is it?  Every source says what it knows; all that is known must agree.

Sources: a table (``--cases cases.csv`` or ``.json``), the DICOM header, a pattern over file names
(``--cases cases.toml``).  What a source leaves empty it does not know.
"""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PureWindowsPath
from typing import Any

import regex

from wsi_ai import schemas
from wsi_ai.core.flags import Identity
from wsi_ai.errors import IdentityInDoubt, PolicyError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of, from_json, text_of
from wsi_ai.slides.places import is_address
from wsi_ai.slides.spreadsheet import NoTable, read_sheet, spoilt, unfit

FIELDS = tuple(f.name for f in fields(Identity))
_NEEDED = "trust", "accession", "slide_id"
_RESCAN = "rescan_of"

Claim = Mapping[str, str]
"""What one source says, by the names of Identity's fields."""


_PATTERN_S = 0.5
"""How long a site's pattern may take over one name: some take years."""


@dataclass(frozen=True, slots=True)
class FileClaim:
    """What a table says of one file."""

    place: str
    """The file itself, where there is one beside the table, or at the path that it gives."""
    name: str
    """Of the file alone; without suffix it counts for any suffix.  Empty where the row speaks of
    one file in its folder, and of no other of this name."""
    claim: Claim
    rescan_of: str = ""
    """The slide id, or the file, of which this one is a new scan."""


@dataclass(frozen=True, slots=True)
class Cases:
    """What a site says about its slides."""

    rows: tuple[FileClaim, ...] = field(default=(), repr=False)
    pattern: regex.Pattern[str] | None = None
    every_slide: Claim = field(default_factory=dict)
    _by_place: Mapping[str, FileClaim] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, tuple[FileClaim, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, tuple[FileClaim, ...]] = {}
        for row in self.rows:
            by_name[row.name] = (*by_name.get(row.name, ()), row)
        object.__setattr__(self, "_by_place", {row.place: row for row in self.rows})
        object.__setattr__(self, "_by_name", by_name)

    def claims(self, path: Path) -> list[Claim]:
        """All that is said of one file.  Raises IdentityInDoubt where the file's name does not fit
        the site's own pattern, or where the table speaks of several files of this name."""
        said = [self.every_slide, *(row.claim for row in self._rows_of(path))]
        if self.pattern is not None:
            said.append(self._named_claim(path))
        return said

    def rescan_of(self, path: Path) -> tuple[str, ...]:
        """Of which slide, by its id or its file, the table calls this one a new scan.  Raises
        IdentityInDoubt."""
        return tuple(row.rescan_of for row in self._rows_of(path) if row.rescan_of)

    def _rows_of(self, path: Path) -> list[FileClaim]:
        """By path where a row has this very one, else by name."""
        if (row := self._by_place.get(_place(path))) is not None:
            return [row]
        found: list[FileClaim] = []
        for name in (_composed(path.name), _composed(path.stem)):
            rows = self._by_name.get(name, ())
            if len(rows) > 1:
                raise IdentityInDoubt("the table has several files of this name, in other folders")
            found += rows
        return found

    def _named_claim(self, path: Path) -> Claim:
        if self.pattern is None:
            return {}
        try:
            match = self.pattern.fullmatch(_composed(path.stem), timeout=_PATTERN_S)
        except TimeoutError:
            raise IdentityInDoubt(
                "the site's pattern takes too long over the file's name; write it so that no part"
                " can match in several ways"
            ) from None
        if match is None:
            raise IdentityInDoubt("the file's name does not follow the site's pattern")
        return _sound(match.groupdict(), "the file's name")

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
    """What a DICOM header says, by keyword.  It does not say whose trust it is.  Raises
    IdentityInDoubt."""
    named = {
        "accession": header.get("AccessionNumber"),
        "slide_id": header.get("ContainerIdentifier"),
    }
    told = {name: None if value is None else str(value) for name, value in named.items()}
    return _sound(told, "the file's header")


def load_cases(path: Path | None) -> Cases:
    """Raises PolicyError, which names the file, the line and the field, and no case."""
    if path is None:
        return Cases()
    try:
        text = text_of(content_of(path, TABLE_BYTES))
    except OSError as error:
        raise PolicyError(f"no cases: {path}: {error.strerror}") from None
    except Unreadable as error:
        raise PolicyError(f"{path} {error}") from None
    read = {".csv": _from_csv, ".json": _from_json, ".toml": _from_toml}.get(path.suffix.lower())
    if read is None:
        raise PolicyError(f"{path}: cases are a .csv, .json or .toml file")
    return read(path, text)


def _from_csv(path: Path, text: str) -> Cases:
    try:
        sheet = read_sheet(text)
    except NoTable as error:
        raise PolicyError(f"{path}: {error}") from None
    rows: list[Mapping[str, Any]] = []
    for row in sheet.rows:
        if row.rest:
            raise PolicyError(f"{path}: line {row.line}: more cells than there are columns")
        for name, cell in row.cells.items():
            if name != "file" and (wrong := spoilt(cell)):
                raise PolicyError(f"{path}: line {row.line}: {name}: {wrong}")
        rows.append(row.cells)
    return Cases(_rows(path, rows))


def _from_json(path: Path, text: str) -> Cases:
    try:
        rows = from_json(text)
    except Unreadable as error:
        raise PolicyError(f"{path} {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PolicyError(f"{path}: a list of objects is needed, one a slide")
    return Cases(_rows(path, rows))


def _from_toml(path: Path, text: str) -> Cases:
    table = schemas.parse_toml(text.encode(), "cases-1", str(path), PolicyError)
    pattern = _pattern(path, table["file_name"]) if "file_name" in table else None
    rows: tuple[FileClaim, ...] = ()
    if "table" in table:
        place = path.parent / table["table"]
        if place.suffix.lower() == ".toml":
            raise PolicyError(f"{path}: table: a .csv or .json file is needed")
        rows = load_cases(place).rows
    every = table.get("every_slide", {})
    for name, value in every.items():
        if sign := unfit(value):
            raise PolicyError(f"{path}: every_slide.{name}: has the control character {sign}")
    return Cases(rows, pattern, every)


def _pattern(path: Path, text: str) -> regex.Pattern[str]:
    try:
        pattern: regex.Pattern[str] = regex.compile(text)
    except (regex.error, RecursionError, OverflowError) as error:
        raise PolicyError(f"{path} is not valid: file_name: {error}") from None
    if unknown := set(pattern.groupindex) - set(FIELDS):
        raise PolicyError(f"{path}: file_name: no such field: {', '.join(sorted(unknown))}")
    return pattern


def _rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> tuple[FileClaim, ...]:
    found: dict[str, FileClaim] = {}
    for number, row in enumerate(rows, 1):
        if wrong := _complaint(row):
            raise PolicyError(f"{path}: row {number}: {wrong}")
        told = _file_claim(path.parent, row)
        if told.place in found:
            raise PolicyError(f"{path}: row {number}: the same file again")
        found[told.place] = told
    return tuple(found.values())


def _complaint(row: Mapping[str, Any]) -> str | None:
    """Names fields and no case."""
    unknown = set(row) - {*FIELDS, "file", _RESCAN}
    if unknown or not row.get("file"):
        told = ", ".join(sorted(map(str, unknown))) or "file is missing"
        return f"{told}; fields are file, {', '.join(FIELDS)}, {_RESCAN}"
    for name, value in row.items():
        if value is not None and not isinstance(value, str):
            return f"{name}: a text in quotes is needed"
        if sign := unfit(value or ""):
            return f"{name}: has the control character {sign}"
    return None


def _file_claim(folder: Path, row: Mapping[str, Any]) -> FileClaim:
    place = listed_path(folder, row["file"].strip())
    only_there = is_address(place) or (place.parent != folder and _exists(place))
    name = "" if only_there else _composed(place.name)
    claim = _known({n: row.get(n) for n in FIELDS})
    return FileClaim(_place(place), name, claim, _rescanned(folder, row.get(_RESCAN) or ""))


def _rescanned(folder: Path, named: str) -> str:
    """A file by its whole path, where there is one; else the slide id as it stands."""
    place = listed_path(folder, named.strip())
    return _place(place) if named.strip() and _exists(place) else _composed(named.strip())


def listed_path(folder: Path, name: str) -> Path:
    """A path that a table in ``folder`` gives, also in the way of Windows, or with its accents put
    together in another way than the disk has them; an address as it is."""
    if is_address(name):
        return Path(name)
    place = folder / name
    if "\\" in name and not _exists(place):
        place = folder / PureWindowsPath(name).as_posix()
    if place.name.isascii() or _exists(place):
        return place
    same = [one for one in _entries(place.parent) if _composed(one) == _composed(place.name)]
    return place.with_name(same[0]) if len(same) == 1 else place


def _exists(place: Path) -> bool:
    return os.path.lexists(place)


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _place(path: Path) -> str:
    if is_address(path):
        return _composed(str(path))
    return _composed(os.path.realpath(path))


def _composed(name: str) -> str:
    """An é is one character or two, as the system that wrote it has it."""
    return unicodedata.normalize("NFC", name)


def _sound(said: Mapping[str, str | None], source: str) -> dict[str, str]:
    """Raises IdentityInDoubt."""
    for name, value in said.items():
        if sign := unfit(value or ""):
            raise IdentityInDoubt(f"identity in doubt: {name} in {source} has the character {sign}")
    return _known(said)


def _known(said: Mapping[str, str | None]) -> dict[str, str]:
    told = {name: _composed(value.strip()) for name, value in said.items() if value is not None}
    return {name: value for name, value in told.items() if value and name in FIELDS}
