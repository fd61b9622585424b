"""The image that a flag is about, as whoever writes about it needs it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from pydicom.dataset import Dataset

from wsi_ai.delivery.formats.dicom import codes
from wsi_ai.delivery.formats.event import FlagEvent
from wsi_ai.errors import Refused

_PATIENT_AND_STUDY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2: they may be empty, and have to be there."""
_SEXES = ("M", "F", "O")


@dataclass(frozen=True, slots=True)
class Reference:
    """One stored object."""

    sop_class: str
    sop_uid: str
    series_uid: str


@contextmanager
def repeating() -> Iterator[None]:
    """While a document repeats what an image's header says.  Raises Refused where it cannot."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError):
        raise Refused("what is said of the image's patient or study is no DICOM") from None


def image_of(event: FlagEvent) -> Mapping[str, Any]:
    """What the flag says of its slide's image.  Raises Refused where that is none of DICOM."""
    image = (event.flag.get("extensions") or {}).get("dicom")
    if not isinstance(image, Mapping) or not {"study_uid", "series_uid", "sop_uid"} <= image.keys():
        raise Refused("its slide is no DICOM image: there is no study that a report could go into")
    return image


def header_for(event: FlagEvent) -> Dataset:
    """Of the image, as far as the flag knows it: it names no patient."""
    image, header = image_of(event), Dataset()
    header.SOPClassUID = codes.WHOLE_SLIDE
    header.StudyInstanceUID, header.SeriesInstanceUID = image["study_uid"], image["series_uid"]
    header.SOPInstanceUID = image["sop_uid"]
    accession = event.flag["case"]["accession"]["value"]
    header.AccessionNumber = accession if codes.short(accession, 16) == accession else ""
    return header


def completed(header: Dataset) -> Dataset:
    """With all that a document of the study has to say, empty where it is not known.  A data set
    of its own: ``Dataset.update`` would share the elements, and change both."""
    found = Dataset()
    for element in header:
        found.add(copy(element))
    for name in _PATIENT_AND_STUDY:
        setattr(found, name, header.get(name))
    if found.PatientSex not in _SEXES:
        found.PatientSex = None
    return found


def objects_of(event: FlagEvent) -> list[Reference]:
    """What the flag names beside itself: heatmap and hotspots."""
    named = image_of(event).get("objects") or []
    return [Reference(one["sop_class"], one["sop_uid"], one["series_uid"]) for one in named]


def without_objects(event: FlagEvent) -> FlagEvent:
    """For an archive that does not get them: it is not to be referred to what it does not have."""
    image = {name: value for name, value in image_of(event).items() if name != "objects"}
    extensions = {**event.flag["extensions"], "dicom": image}
    return replace(event, flag={**event.flag, "extensions": extensions})


def stub(header: Dataset, reference: Reference) -> Dataset:
    """Enough of a stored object to refer to it."""
    found = completed(header)
    found.SOPClassUID, found.SOPInstanceUID = reference.sop_class, reference.sop_uid
    found.SeriesInstanceUID = reference.series_uid
    return found


def predecessors(header: Dataset, references: Iterable[Reference]) -> list[Dataset]:
    """PredecessorDocumentsSequence (PS3.3 C.17.2)."""
    return [_in_study(header, reference) for reference in references]


def _in_study(header: Dataset, reference: Reference) -> Dataset:
    found, series, instance = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = reference.sop_class
    instance.ReferencedSOPInstanceUID = reference.sop_uid
    series.SeriesInstanceUID = reference.series_uid
    series.ReferencedSOPSequence = [instance]
    found.StudyInstanceUID = header.StudyInstanceUID
    found.ReferencedSeriesSequence = [series]
    return found


def stamp(document: Dataset, event: FlagEvent, description: str) -> None:
    """What every document of ours says; its times are the flag's own, so that the same flag gives
    the same bytes."""
    flag = event.flag
    issued = flag["timestamps"]["issued"]
    date = issued[:10].replace("-", "")
    time = issued[11:23].replace(":", "")
    document.ContentDate = document.InstanceCreationDate = date
    document.ContentTime = document.InstanceCreationTime = time
    document.TimezoneOffsetFromUTC = "+0000"
    for equipment in document.get("ContributingEquipmentSequence") or []:
        equipment.ContributionDateTime = f"{date}{time}+0000"
    document.SpecificCharacterSet = "ISO_IR 192"
    document.SeriesDescription = description
    document.ManufacturerModelName = codes.short(flag["model"]["name"])
    document.DeviceSerialNumber = codes.short(flag["model"]["weights_sha256"])
    document.SoftwareVersions = [
        codes.short(one) or "unnamed"
        for one in (flag["provenance"]["pipeline"], flag["model"]["version"])
    ]
