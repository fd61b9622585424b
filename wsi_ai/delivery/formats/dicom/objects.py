"""Objects that a flag names beside its report: what they are called, and their digest."""

import hashlib
import io
from copy import copy

from pydicom.dataset import Dataset

FOLDER = "dicom"
"""In a slide's folder of results."""
_OF_ONE_RUN = frozenset(
    (
        "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime",
        "ContributingEquipmentSequence",
    )
)  # fmt: skip


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
