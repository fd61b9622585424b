"""An image turned out not to be that slide's: its flags are taken back wherever they went."""

from collections.abc import Mapping
from typing import Any

from wsi_ai.delivery.events import trust_of
from wsi_ai.delivery.formats.hl7v2.notice import ImageNotice
from wsi_ai.delivery.messages import Retraction
from wsi_ai.delivery.outbox import Outbox


def take_back(outbox: Outbox, notice: ImageNotice, trust: str) -> int:
    """Every flag of the trust's slide; where the notice names an accession, of that one only.

    Returns how many were taken back now: the same notice once more takes back none.
    """
    concerned = [flag["flag_id"] for flag in outbox.flags() if _is_of(flag, notice, trust)]
    taken = [outbox.retract(one, Retraction.SLIDE_MISIDENTIFIED) for one in concerned]
    return len([one for one in taken if one is not None])


def _is_of(flag: Mapping[str, Any], notice: ImageNotice, trust: str) -> bool:
    """Slide ids of two trusts may be the same."""
    case = flag["case"]
    if trust_of(flag) != trust or flag["slide"]["slide_id"]["value"] != notice.slide_id:
        return False
    return notice.accession in (None, case["accession"]["value"])
