"""What DICOM has to say of a slide's image beside its pixels, for those who write about it."""

import warnings
from typing import Any

from pydicom.dataset import Dataset

from wsi_ai.core.dicom import DicomSource

_BYTES = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_LARGE = frozenset({"PerFrameFunctionalGroupsSequence"})
_UIDS = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"


def source_of(header: Any) -> DicomSource | None:
    """``None`` where the header does not say which study it belongs to."""
    study, series, sop = (str(header.get(name) or "") for name in _UIDS)
    if not (study and series and sop):
        return None
    return DicomSource(study, series, sop, _as_json(header))


def _as_json(header: Dataset) -> str:
    """Without bytes, private words and what is said of each frame; of what cannot be written at
    all, nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _kept(header).to_json(suppress_invalid_tags=True)


def _kept(data: Dataset) -> Dataset:
    found = Dataset()
    for element in data:
        if element.tag.is_private or element.VR in _BYTES or element.keyword in _LARGE:
            continue
        if element.VR == "SQ":
            found.add_new(element.tag, "SQ", [_kept(item) for item in element.value])
        else:
            found.add(element)
    return found
