"""Objects that a flag names beside its report: what they are called, and their digest."""

import hashlib
import io
from copy import copy

from pydicom.dataset import Dataset

from wsi_ai.core.dicom import uid_beside

FOLDER = "dicom"
"""In a slide's folder of results."""
KINDS = {
    "parametric-map": "1.2.840.10008.5.1.4.1.1.30",
    "segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
    "annotations": "1.2.840.10008.5.1.4.1.1.91.1",
}
"""And their SOP classes."""
_OF_ONE_RUN = frozenset(
    (
        "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime",
        "ContributingEquipmentSequence",
    )
)  # fmt: skip


def series_of(flag_id: str, kind: str) -> str:
    """All revisions of a flag have one series of each kind."""
    return uid_beside(flag_id, f"series+{kind}")


def written(document: Dataset) -> bytes:
    """As a file (PS3.10)."""
    file = io.BytesIO()
    document.save_as(file, enforce_file_format=True)
    return file.getvalue()


def content_sha256(document: Dataset) -> str:
    """Of all that an object says but when it was made: the same answer, made again, is the same."""
    kept = Dataset()
    for element in document:
        if element.keyword not in _OF_ONE_RUN:
            kept.add(copy(element))
    kept.file_meta = document.file_meta
    return hashlib.sha256(written(kept)).hexdigest()
