"""The note that withdraws what an archive has of a flag: a Key Object Selection whose title says
that its objects are rejected (IHE IOCM; PS3.16 CID 7011).  Nothing can be deleted over STOW."""

from collections.abc import Sequence

from highdicom import ko
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from wsi_ai.core.dicom import uid_beside, uid_of_event, uid_of_flag
from wsi_ai.core.flags import STATEMENT
from wsi_ai.delivery.formats.dicom import codes
from wsi_ai.delivery.formats.dicom.objects import written
from wsi_ai.delivery.formats.dicom.source import (
    Reference,
    completed,
    header_for,
    objects_of,
    repeating,
    stamp,
    stub,
)
from wsi_ai.delivery.formats.event import FlagEvent
from wsi_ai.delivery.formats.wording import REASONS
from wsi_ai.delivery.messages import Retraction
from wsi_ai.errors import Refused

_UNSAFE = frozenset({Retraction.SLIDE_MISIDENTIFIED, Retraction.MODEL_DEFECT})
"""Another patient's, or by a model that cannot be relied on."""


def series_uid(flag_id: str) -> str:
    return uid_beside(flag_id, "withdrawals")


def sop_uid(event: FlagEvent) -> str:
    return uid_beside(event.flag["flag_id"], f"withdrawal+{event.event_id}")


def withdrawn_by(event: FlagEvent) -> list[Reference]:
    """As far as the flag itself knows: the report before it, and what it names."""
    flag = event.flag
    if not event.is_retraction:
        raise Refused("it was not taken back: there is nothing to withdraw")
    before = [uid_of_event(flag["supersedes"])] if flag["supersedes"] else []
    series = uid_of_flag(flag["flag_id"])
    return [*(Reference(codes.REPORT, uid, series) for uid in before), *objects_of(event)]


def render(
    event: FlagEvent, header: Dataset | None = None, withdrawn: Sequence[Reference] = ()
) -> bytes:
    """``withdrawn`` is what the archive holds of the flag, where it was asked.  Raises Refused."""
    named = header_for(event)
    source = completed(header if header is not None else named)
    everything = dict.fromkeys([*withdrawn_by(event), *withdrawn])
    if not everything:
        raise Refused("it says nothing of what it takes back")
    with repeating():
        return written(_note(event, [stub(source, one) for one in everything]))


def _note(event: FlagEvent, objects: Sequence[Dataset]) -> Dataset:
    why = Retraction(event.flag["retraction_reason"])
    unsafe = standard.DCM.RejectedForPatientSafetyReasons
    title = unsafe if why in _UNSAFE else standard.DCM.RejectedForQualityReasons
    note = ko.KeyObjectSelectionDocument(
        evidence=objects,
        content=ko.KeyObjectSelection(
            document_title=title,
            referenced_objects=objects,
            description=f"{REASONS[why]}. {STATEMENT}",
        ),
        series_instance_uid=series_uid(event.flag["flag_id"]),
        series_number=codes.WITHDRAWAL_SERIES,
        sop_instance_uid=sop_uid(event),
        instance_number=event.flag["revision"],
        manufacturer=codes.MAKER,
    )
    stamp(note, event, codes.WITHDRAWALS)
    return note
