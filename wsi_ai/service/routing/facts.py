"""What is known of a slide when a model is chosen for it: from its file, its DICOM header, and the
case system."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pydicom

from wsi_ai.core.values import SlideInfo
from wsi_ai.service.routing.rules import NAMES, Facts
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.dicom.reader import DAMAGE

_USING_SUBSTANCE = "424361007"
"""SNOMED CT: what a step of preparation says before the stain (DICOM PS3.16, CID 8113 and TID
8003)."""
_HAEMATOXYLIN = frozenset({"12710003"})
_EOSIN = frozenset({"36879007"})
_HE = frozenset({"H&E", "HE", "hematoxylin and eosin"})
_WANTED = ["SOPClassUID", "SpecimenDescriptionSequence"]


def gathered(*parts: Mapping[str, str | Iterable[str] | None]) -> Facts:
    """All that several sources say, by the names of the routing's facts; others are left out."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for name, said in part.items():
            words = [said] if isinstance(said, str) else list(said or ())
            if name in NAMES:
                found.setdefault(name, set()).update(word for word in words if word.strip())
    return {name: frozenset(words) for name, words in found.items() if words}


def of_case(case: Mapping[str, str]) -> dict[str, str]:
    """Of a row of ``--cases``."""
    return {name: case[name] for name in NAMES if case.get(name)}


def of_file(info: SlideInfo) -> dict[str, str]:
    return {"vendor": info.vendor, "scanner": info.scanner}


def of_dicom(path: Path) -> dict[str, list[str]]:
    """Stain, organ and kind of specimen, each by code and by text; empty where it is no DICOM slide
    or does not say.  See DICOM PS3.3 C.7.6.22 (Specimen Module)."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        if file.is_file() and is_dicom(file) and (found := _of_file(file)):
            return found
    return {}


def _of_file(path: Path) -> dict[str, list[str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return of_header(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_WANTED))
    except DAMAGE:
        return {}


def of_header(header: pydicom.Dataset) -> dict[str, list[str]]:
    """The same of a header that is at hand.  Raises what pydicom raises on damaged ones."""
    specimens = header.get("SpecimenDescriptionSequence") or []
    found = {
        "organ": list(_coded(specimens, "PrimaryAnatomicStructureSequence")),
        "specimen": list(_coded(specimens, "SpecimenTypeCodeSequence")),
        "stain": _stains(specimens),
    }
    return {name: words for name, words in found.items() if words}


def _coded(items: Iterable[pydicom.Dataset], name: str) -> Iterator[str]:
    for item in items:
        for code in item.get(name) or []:
            yield from _words(code)


def _words(code: pydicom.Dataset) -> Iterator[str]:
    value, scheme = code.get("CodeValue"), code.get("CodingSchemeDesignator")
    if value and scheme:
        yield f"{scheme}:{value}"
    if meaning := code.get("CodeMeaning"):
        yield str(meaning)


def _stains(specimens: Iterable[pydicom.Dataset]) -> list[str]:
    """Haematoxylin and eosin, which the header has as two, are one stain."""
    codes = [
        code
        for specimen in specimens
        for step in specimen.get("SpecimenPreparationSequence") or []
        for item in step.get("SpecimenPreparationStepContentItemSequence") or []
        if _is_substance(item)
        for code in item.get("ConceptCodeSequence") or []
    ]
    values = {str(code.get("CodeValue")) for code in codes}
    if values & _HAEMATOXYLIN and values & _EOSIN and values <= _HAEMATOXYLIN | _EOSIN:
        return sorted(_HE)
    return [word for code in codes for word in _words(code)]


def _is_substance(item: pydicom.Dataset) -> bool:
    names = item.get("ConceptNameCodeSequence") or []
    return any(str(name.get("CodeValue")) == _USING_SUBSTANCE for name in names)
