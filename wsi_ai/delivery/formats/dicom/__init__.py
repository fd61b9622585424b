"""A flag in DICOM: a structured report, and the note that withdraws it.  Other modules of this
folder load highdicom; this one only when it is asked to."""

from wsi_ai.core.plugins import needs_extra
from wsi_ai.delivery.formats.event import FlagEvent, Summary
from wsi_ai.errors import SinkError


def render_report(event: FlagEvent) -> bytes:
    """See ``report.render``."""
    with needs_extra("dicom", SinkError):
        from wsi_ai.delivery.formats.dicom import report
    return report.render(event)


def parse_report(content: bytes) -> Summary:
    """See ``reading.parse``."""
    from wsi_ai.delivery.formats.dicom import reading

    return reading.parse(content)


def render_withdrawal(event: FlagEvent) -> bytes:
    """See ``withdrawal.render``."""
    with needs_extra("dicom", SinkError):
        from wsi_ai.delivery.formats.dicom import withdrawal
    return withdrawal.render(event)
