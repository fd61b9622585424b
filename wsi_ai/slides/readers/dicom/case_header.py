"""What a DICOM slide says of itself, beside its pixels."""

from pathlib import Path

import openslide

from wsi_ai.slides.readers.dicom.reader import is_dicom

_PREFIX = "dicom."
_WANTED = "AccessionNumber", "ContainerIdentifier"


def case_header(path: Path) -> dict[str, str]:
    """The header's own words by keyword, of what tells whose slide it is; empty where the file, or
    the first in a folder, is no DICOM slide, or says nothing."""
    if path.is_dir():
        path = next((file for file in sorted(path.iterdir()) if is_dicom(file)), path)
    try:
        if openslide.OpenSlide.detect_format(path) != "dicom":
            return {}
        with openslide.OpenSlide(path) as slide:
            return {k: v for k in _WANTED if (v := slide.properties.get(_PREFIX + k))}
    except openslide.OpenSlideError:
        return {}
