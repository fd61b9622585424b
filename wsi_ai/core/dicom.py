"""A slide's image in DICOM's own terms, and the UIDs of what is said about it.

``2.25.<UUID as a number>`` needs no registration (PS3.5 B.2), and leads back to the UUID: an
event's UID is its id, and a flag's series is the flag's id.
"""

import uuid
from dataclasses import dataclass, field

_ROOT = "2.25."
_EVENT = "evt_"


@dataclass(frozen=True, slots=True)
class DicomSource:
    """Which image a slide is.  Where there are parts, that of the first one of the finest level."""

    study_uid: str
    series_uid: str
    sop_uid: str
    header: str = field(default="", repr=False, compare=False)
    """Of that image, without pixels, as DICOM JSON (PS3.18 F).  Names the patient: never log it."""
    frames_hashed: bool = False
    """The slide's fingerprint is of its frames' bytes and its UIDs, not of files."""


def uid_of(name: uuid.UUID) -> str:
    return f"{_ROOT}{name.int}"


def uid_of_flag(flag_id: str) -> str:
    """Of the series of all that is said in words of a flag."""
    return uid_of(uuid.UUID(flag_id))


def uid_of_event(event_id: str) -> str:
    """Of an id that is not made as ours are, one that does not lead back to it."""
    try:
        return uid_of(uuid.UUID(event_id.removeprefix(_EVENT)))
    except ValueError:
        return uid_of(uuid.uuid5(uuid.NAMESPACE_URL, event_id))


def uid_beside(flag_id: str, name: str) -> str:
    """Of what else belongs to a flag: the same name gives the same."""
    return uid_of(uuid.uuid5(uuid.UUID(flag_id), name))


def flag_of_uid(uid: str) -> str | None:
    """``None`` where it was not made of one."""
    found = _uuid_of(uid)
    return None if found is None else str(found)


def event_of_uid(uid: str) -> str | None:
    found = _uuid_of(uid)
    return None if found is None else f"{_EVENT}{found.hex}"


def _uuid_of(uid: str) -> uuid.UUID | None:
    number = uid.removeprefix(_ROOT)
    if number == uid or not number.isdecimal() or not 0 < int(number) < 1 << 128:
        return None
    return uuid.UUID(int=int(number))
