"""What a DICOM slide says of itself, beside its pixels."""

import warnings
from pathlib import Path
from typing import BinaryIO

import pydicom

from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.dicom.reader import DAMAGE, WHOLE_SLIDE

_WANTED = "AccessionNumber", "ContainerIdentifier"


def case_header(path: Path) -> dict[str, str]:
    """The header's own words by keyword, of what tells whose slide it is; empty where the file, or
    every one in a folder, is no DICOM slide, or says nothing."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        if is_dicom(file) and (header := wanted_header(file)) is not None:
            return words_of(header)
    return {}


def words_of(header: pydicom.Dataset) -> dict[str, str]:
    """Those of them that are not empty."""
    return {name: str(v).strip() for name in _WANTED if (v := header.get(name))}


def wanted_header(file: Path | BinaryIO) -> pydicom.Dataset | None:
    """``None`` where it is no whole-slide image, or cannot be read."""
    wanted = ["SOPClassUID", *_WANTED]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=wanted)
        return header if header.get("SOPClassUID") == WHOLE_SLIDE else None
    except DAMAGE:
        return None
