"""Which slides a run is about: files, folders, tables and lists become paths, each once."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import InputError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of, text_of
from wsi_ai.slides.identity import listed_path
from wsi_ai.slides.places import as_written, is_address
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.sniff import (
    SUFFIXES,
    dicom_slides,
    is_slide_file,
    is_slide_zarr,
    is_zarr,
)
from wsi_ai.slides.scale import number as as_number
from wsi_ai.slides.spreadsheet import NoTable, read_sheet
from wsi_ai.slides.stores.address import is_object

_LISTS = (".csv", ".txt")
_END_OF_LINE = re.compile(r"\r\n|\n|\r")
_MPP = 0.01, 100.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was found, in the order in which it was named; within a folder, by name."""

    slides: tuple[Path, ...]
    mpp: Mapping[Path, float]
    """Micrometres per pixel, of the slides whose table says."""
    passed_over: tuple[Path, ...]
    """Files and folders, in folders that were named, that are no slides."""

    in_folders: frozenset[Path] = frozenset()
    """Of the slides, those that nobody named: they were found in a folder."""

    def passed_over_by_kind(self) -> str:
        """For example ``3 .geojson, 1 .png``; names nothing."""
        kinds = Counter(path.suffix.lower() or "without suffix" for path in self.passed_over)
        return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def find_slides(places: Sequence[Path], out: Path | None = None) -> Inputs:
    """Expand files, folders, tables (``.csv``) and lists (``.txt``); see ``docs/inputs.md``.

    Folders are searched to their bottom; ``out``, where results go, is left alone.  A slide that
    is named twice counts once.  A file that a table or list names is taken even where it is not
    there: its slide then says so.  Raises InputError for a place that is not there, a folder that
    cannot be read or holds no slide, and a table or list that is not as it should be.
    """
    search = _Search(None if out is None else _real(out))
    named = [place for place in places if not _is_list(place)]
    parts = _parts_of_others(named)
    for place in places:
        if _is_list(place):
            search.take_listed(place)
        elif place in parts:
            search.pass_over([place])
        else:
            search.take_named(place)
    slides = tuple(search.found.values())
    found = search.inside & set(slides)
    return Inputs(slides, search.mpp, tuple(search.passed_over), frozenset(found))


@dataclass(slots=True)
class _Search:
    out: Path | None
    found: dict[str, Path] = field(default_factory=dict)
    """By what makes two names one slide."""
    mpp: dict[Path, float] = field(default_factory=dict)
    passed_over: dict[Path, None] = field(default_factory=dict)
    inside: set[Path] = field(default_factory=set)

    def take_named(self, place: Path) -> None:
        if is_object(place):
            self._take_objects(place)
            return
        if not is_address(place) and not os.path.exists(place):  # of a name of any length
            raise InputError(f"there is no such file or folder: {place}")
        if not os.path.isdir(place):
            self._take(place)
            return
        if not (slides := list(self._inside(place))):
            raise InputError(f"no slide in the folder {place}")
        for slide in slides:
            self.inside.add(self._take(slide))

    def _take_objects(self, place: Path) -> None:
        """An object, or all slides below a prefix."""
        with needs_extra("s3", InputError):
            from wsi_ai.slides.stores.listing import slides_below
        below = slides_below(place)
        if not below.slides:
            raise InputError(f"no slide below {as_written(place)}")
        self.pass_over(below.passed_over)
        for slide in below.slides:
            kept = self._take(slide)
            if below.is_folder:
                self.inside.add(kept)

    def take_listed(self, path: Path) -> None:
        rows = list(_rows(path))
        if not rows:
            raise InputError(f"{path} names no slide")
        for number, place, mpp in rows:
            for slide in self._listed(place):
                kept = self._take(slide)
                if mpp is not None and self.mpp.setdefault(kept, mpp) != mpp:
                    raise InputError(f"{path}: line {number}: the same slide with another mpp")

    def _listed(self, place: Path) -> Sequence[Path]:
        """What a row means; where that is not there, the place itself, which then says so."""
        if is_object(place):
            with needs_extra("s3", InputError):
                from wsi_ai.slides.stores.listing import slides_below
            return slides_below(place).slides or [place]
        return (list(self._inside(place)) if os.path.isdir(place) else []) or [place]

    def _take(self, slide: Path) -> Path:
        """The path under which this very slide is known."""
        key = str(slide) if is_address(slide) else str(_real(slide))
        return self.found.setdefault(key, slide)

    def pass_over(self, paths: Iterable[Path]) -> None:
        self.passed_over.update(dict.fromkeys(paths))

    def _inside(self, folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
        """``above``: where the search came from, so that a link cannot send it round in circles."""
        real = _real(folder)
        if real == self.out or real in above:
            return
        if is_zarr(folder):
            if is_slide_zarr(folder):
                yield folder
            else:
                self.pass_over([folder])
            return
        visible, hidden = _entries(folder)
        self.pass_over(hidden)
        yield from self._files(folder, [path for path in visible if not path.is_dir()])
        data = {path.stem for path in visible if path.suffix.lower() == ".mrxs"}
        for path in visible:
            if path.is_dir() and path.name not in data:
                yield from self._inside(path, above | {real})

    def _files(self, folder: Path, files: list[Path]) -> Iterator[Path]:
        dicom = [path for path in files if is_dicom(path)]
        series = dicom_slides(dicom) if dicom else []
        others = [path for path in files if path not in set(dicom)]
        slides = [path for path in others if _is_slide(path)]
        self.pass_over(path for path in others if path not in set(slides))
        if not series:
            self.pass_over(dicom)
        yield from slides
        yield from [folder] if len(series) == 1 and not slides else series


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """By name: those to be seen, and the hidden ones."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot look into the folder {folder}: {error.strerror}") from None
    hidden = [path for path in entries if path.name.startswith(".")]
    return [path for path in entries if not path.name.startswith(".")], hidden


def _is_slide(path: Path) -> bool:
    """Where it cannot be told, by the suffix."""
    if not path.is_file():  # a link to nowhere, a pipe
        return path.suffix.lower() in SUFFIXES
    try:
        return is_slide_file(path)
    except OSError:
        return path.suffix.lower() in SUFFIXES


def _real(path: Path) -> Path:
    """Where links lead; of links in a loop, the path itself."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _is_list(place: Path) -> bool:
    return place.suffix.lower() in _LISTS and os.path.isfile(place)


def _parts_of_others(named: Iterable[Path]) -> set[Path]:
    """DICOM files that are named beside others of their series, as a shell's ``*`` does."""
    folders: dict[Path, list[Path]] = {}
    for path in named:
        if os.path.isfile(path) and is_dicom(path):
            folders.setdefault(path.parent, []).append(path)
    several = [files for files in folders.values() if len(files) > 1]
    return {path for files in several for path in set(files) - set(dicom_slides(files))}


def _rows(path: Path) -> Iterator[tuple[int, Path, float | None]]:
    """Line, slide and µm/px of each row of a table or list; relative to its folder."""
    try:
        text = text_of(content_of(path, TABLE_BYTES))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except Unreadable as error:
        raise InputError(f"{path} {error}") from None
    read = _table if path.suffix.lower() == ".csv" else _lines
    for number, name, mpp in read(path, text):
        if "\0" in name:
            raise InputError(f"{path}: line {number}: no file has a name with U+0000")
        place = Path(name)
        yield number, place if is_address(place) else listed_path(path.parent, name), mpp


def _lines(path: Path, text: str) -> Iterator[tuple[int, str, float | None]]:
    for number, line in enumerate(_END_OF_LINE.split(text), 1):
        if (name := line.strip(" \t")) and not name.startswith("#"):
            yield number, name, None


def _table(path: Path, text: str) -> Iterator[tuple[int, str, float | None]]:
    try:
        sheet = read_sheet(text)
    except NoTable as error:
        raise InputError(f"{path}: {error}") from None
    if "slide" not in sheet.columns:
        found = ", ".join(sheet.columns) or "none"
        raise InputError(f"{path}: a column 'slide' is needed; its columns are: {found}")
    for row in sheet.rows:
        if not (name := row.cells.get("slide")):
            raise InputError(f"{path}: line {row.line}: no slide is named")
        mpp = _mpp(path, row.line, row.cells.get("mpp"), decimal_comma=sheet.decimal_comma)
        if row.rest:
            raise InputError(f"{path}: line {row.line}: more cells than there are columns")
        yield row.line, name, mpp


def _mpp(path: Path, line: int, said: str | None, *, decimal_comma: bool) -> float | None:
    if not said:
        return None
    mpp = as_number(said.replace(",", ".") if decimal_comma else said)
    if not _MPP[0] <= mpp <= _MPP[1]:
        raise InputError(
            f"{path}: line {line}: mpp is to be {_MPP[0]} to {_MPP[1]:.0f}, not {said}"
        )
    return mpp
