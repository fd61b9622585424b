"""IHE PaLM DPOW, Image Availability Notification [LAB-104], as drafted in 2026: an OML^O21.

The profile is a draft for public comment; its numbers and fields may still change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wsi_ai.delivery.formats.hl7v2.text import NotHl7, Parsed

PROFILE = "DPOW-IMAGE-NOTIF"
_SAID = {"order": ("OBR", 4), "specimen": ("SPM", 4), "organ": ("SPM", 8)}
_UIDS = {"StudyInstanceUID": "study_uid", "SeriesInstanceUID": "series_uid"}


@dataclass(frozen=True, slots=True)
class ImageNotice:
    """An image of a slide is there, or is no longer that slide's."""

    control_id: str
    """The sender's own: the same notice sent again has the same."""
    slide_id: str
    accession: str | None
    available: bool
    study_uid: str | None
    series_uid: str | None
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    """By ``order`` (OBR-4), ``specimen`` (SPM-4) and ``organ`` (SPM-8): a code and its text."""


def read(message: Parsed) -> ImageNotice:
    """Raises NotHl7, which quotes nothing, for any other message and for what lacks a slide."""
    trigger = (message.first("MSH", 9), message.first("MSH", 9, 2))
    if trigger != ("OML", "O21") or message.first("MSH", 21) != PROFILE:
        raise NotHl7("no image availability notification (OML^O21, DPOW-IMAGE-NOTIF)")
    if len(message.of("SPM")) != 1:
        raise NotHl7("a notification of one slide has one SPM")
    available = {"Y": True, "N": False}.get(message.first("SPM", 20))
    if available is None:
        raise NotHl7("SPM-20 is Y or N")
    # the laboratory's own identifier first, then that of whoever ordered
    slide_id = message.entity("SPM", 2, 2) or message.entity("SPM", 2, 1)
    control_id = message.first("MSH", 10)
    if not slide_id or not control_id:
        raise NotHl7("SPM-2 names the slide, and MSH-10 the message")
    uids = {name: message.value(one, 5) for one in message.of("OBX")
            if (name := _UIDS.get(message.value(one, 3)))}  # fmt: skip
    return ImageNotice(
        control_id=control_id,
        slide_id=slide_id,
        accession=message.first("ORC", 38) or message.first("SPM", 30) or None,
        available=available,
        study_uid=uids.get("study_uid") or None,
        series_uid=uids.get("series_uid") or None,
        said={name: words for name, place in _SAID.items() if (words := _coded(message, *place))},
    )


def _coded(message: Parsed, segment: str, number: int) -> tuple[str, ...]:
    """An identifier and its text, as far as they are there."""
    found = [message.first(segment, number, component) for component in (1, 2)]
    return tuple(word for word in found if word)
