"""The formats by the names that people ask for them with."""

from collections.abc import Callable
from dataclasses import dataclass

from wsi_ai.delivery.formats import cloudevent, dicom, sectra
from wsi_ai.delivery.formats.event import FlagEvent, Summary
from wsi_ai.delivery.formats.fhir import bundle
from wsi_ai.delivery.formats.hl7v2 import oru


@dataclass(frozen=True, slots=True)
class Format:
    """A rendering, and what reads it back."""

    render: Callable[[FlagEvent], bytes]
    parse: Callable[[bytes], Summary]


FORMATS = {
    "cloudevent": Format(cloudevent.render, cloudevent.parse),
    "fhir": Format(bundle.render, bundle.parse),
    "hl7": Format(oru.render, oru.parse),
    "sectra": Format(sectra.render, sectra.parse),
    "sr": Format(dicom.render_report, dicom.parse_report),
}
