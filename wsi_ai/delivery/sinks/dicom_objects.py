"""Heatmap and hotspots that a flag names: found in the folder of results by their digest, and given
the patient's data as the archive has them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from wsi_ai.delivery.formats.dicom.objects import FOLDER, content_sha256, written
from wsi_ai.delivery.formats.dicom.source import image_of
from wsi_ai.delivery.formats.event import FlagEvent

_UID = re.compile(r"[0-9.]{1,64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_OF_THE_ARCHIVE = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "IssuerOfPatientID",
    "OtherPatientIDsSequence", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip


_DAMAGE = (AttributeError, EOFError, InvalidDicomError, LookupError, OSError, TypeError, ValueError)


class MissingObject(Exception):
    """Says which is missing, and names no slide."""


@dataclass(frozen=True, slots=True)
class NamedObject:
    """One object that a flag names."""

    sop_uid: str
    series_uid: str
    sha256: str
    image_sha256: str

    def content(self, folder: Path, header: Dataset) -> bytes:
        """With this very content; whose it is, the archive knows better.  Raises MissingObject."""
        document = self._found(folder)
        for name in _OF_THE_ARCHIVE:
            if name in header:
                setattr(document, name, header.get(name))
        return written(document)

    def _found(self, folder: Path) -> Dataset:
        """It may lie aside still, where the slide's folder is being written."""
        places = folder.glob(f"*-{self.image_sha256[:8]}/*/{FOLDER}/{self.sop_uid}.dcm")
        for place in places:
            try:
                document = pydicom.dcmread(place)
                if content_sha256(document) == self.sha256:
                    return document
            except _DAMAGE:
                continue
        raise MissingObject("an object that the flag names is not in the folder of results")


def named_objects(event: FlagEvent) -> Iterator[NamedObject]:
    """Raises MissingObject where one has a name that none can have."""
    named: Any = image_of(event).get("objects") or []
    for one in named:
        if not isinstance(one, Mapping) or not all(map(_UID.fullmatch, _uids(one))):
            raise MissingObject("an object that the flag names has no UID")
        digests = str(one.get("sha256")), str(event.flag["slide"]["image_sha256"])
        if not all(map(_HEX.fullmatch, digests)):
            raise MissingObject("an object that the flag names has no digest")
        sop_uid, series_uid = _uids(one)
        yield NamedObject(sop_uid, series_uid, *digests)


def _uids(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one.get("sop_uid")), str(one.get("series_uid"))
