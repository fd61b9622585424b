"""A flag as a Comprehensive 3D SR document after TID 1500 (PS3.16), through highdicom.

Its series is the flag and its instance number the revision; what holds is the last one.  An AI's
report is complete, preliminary and unverified.
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from wsi_ai.core.dicom import uid_beside, uid_of, uid_of_event, uid_of_flag
from wsi_ai.delivery.formats.dicom import codes
from wsi_ai.delivery.formats.dicom.codes import named, ours
from wsi_ai.delivery.formats.dicom.objects import written
from wsi_ai.delivery.formats.dicom.source import (
    Reference,
    completed,
    header_for,
    objects_of,
    predecessors,
    repeating,
    stamp,
    stub,
)
from wsi_ai.delivery.formats.event import FlagEvent

_CONTAINS = sr.RelationshipTypeValues.CONTAINS


def render(event: FlagEvent, header: Dataset | None = None) -> bytes:
    """``header`` is the slide's image as an archive has it, with its patient; without one, that
    part stays empty.  Raises Refused where the slide is no DICOM image."""
    image = header_for(event)
    source = completed(header if header is not None else image)
    with repeating():
        return written(_document(event, source))


def _document(event: FlagEvent, source: Dataset) -> Dataset:
    flag = event.flag
    document = sr.Comprehensive3DSR(
        evidence=[source, *(stub(source, one) for one in objects_of(event))],
        content=_content(event, source),
        series_instance_uid=uid_of_flag(flag["flag_id"]),
        series_number=codes.REPORT_SERIES,
        sop_instance_uid=uid_of_event(event.event_id),
        instance_number=flag["revision"],
        manufacturer=codes.MAKER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        specific_character_set="ISO_IR 192",
    )
    stamp(document, event, codes.REPORTS)
    if flag["supersedes"]:
        before = Reference(
            codes.REPORT, uid_of_event(flag["supersedes"]), uid_of_flag(flag["flag_id"])
        )
        document.PredecessorDocumentsSequence = predecessors(source, [before])
    return document


def _content(event: FlagEvent, source: Dataset) -> Dataset:
    report = sr.MeasurementReport(
        observation_context=_context(event.flag, source),
        procedure_reported=codes.PROCEDURE,
        imaging_measurements=[_slide(event, source), *_regions(event, source)],
        title=standard.DCM.ImagingMeasurementReport,
    )
    content: Dataset = report[0]
    return content


def _context(flag: Mapping[str, Any], source: Dataset) -> sr.ObservationContext:
    """Who observed: the model.  What: the specimen, where the image says which."""
    model = flag["model"]
    name = f"{model['name']}+{model['version']}+{model['weights_sha256']}"
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        name=model["name"],
        manufacturer_name=codes.MAKER,
        model_name=f"{model['name']} {model['version']}",
        serial_number=model["weights_sha256"],
    )
    observer = sr.ObserverContext(standard.DCM.Device, device)
    return sr.ObservationContext(
        observer_device_context=observer, subject_context=_specimen(source)
    )


def _specimen(source: Dataset) -> sr.SubjectContext | None:
    for specimen in source.get("SpecimenDescriptionSequence") or []:
        if specimen.get("SpecimenUID"):
            about = sr.SubjectContextSpecimen(
                uid=specimen.SpecimenUID,
                identifier=specimen.get("SpecimenIdentifier") or None,
                container_identifier=source.get("ContainerIdentifier") or None,
            )
            return sr.SubjectContext(standard.DCM.Specimen, about)
    return None


def _slide(event: FlagEvent, source: Dataset) -> sr.MeasurementsAndQualitativeEvaluations:
    flag = event.flag
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid_of_flag(flag["flag_id"]), flag["flag_id"]),
        finding_type=named(flag["result"]["finding"]["code"]),
        algorithm_id=_algorithm(flag),
        measurements=[_number(code, value) for code, value in _numbers(flag)],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(name=ours(code), value=value)
            for code, value in _evaluations(event)
        ],
        source_images=[
            sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)
        ],
    )
    items = group[0].ContentSequence
    for code, text in _texts(event):
        items.append(sr.TextContentItem(ours(code), text, _CONTAINS))
    return group


def _algorithm(flag: Mapping[str, Any]) -> sr.AlgorithmIdentification:
    model, result = flag["model"], flag["result"]
    threshold = result["threshold"]
    return sr.AlgorithmIdentification(
        name=model["name"],
        version=model["version"],
        parameters=[
            f"{codes.WEIGHTS}={model['weights_sha256']}",
            f"{codes.MANIFEST}={model['manifest_sha256']}",
            f"threshold={threshold['value']!r}",
            f"operating_point={threshold['operating_point']}",
            f"calibrated_on={threshold['calibrated_on']}",
            f"score_kind={result['score_kind']}",
            f"policy={result['policy']}",
        ],
    )


def _number(code: str, value: float) -> sr.Measurement:
    return sr.Measurement(name=ours(code), value=value, unit=standard.UCUM.NoUnits)


def _numbers(flag: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if flag["result"]["score"] is not None:
        yield codes.SCORE, float(flag["result"]["score"])
    yield codes.THRESHOLD, float(flag["result"]["threshold"]["value"])
    yield codes.SEEN, float(flag["qc"]["analysed_fraction"])
    yield codes.REVISION, flag["revision"]


def _evaluations(event: FlagEvent) -> Iterator[tuple[str, Code]]:
    """What was taken back has no priority any more, also for who reads nothing else."""
    flag = event.flag
    level = codes.level(flag["result"]["level"])
    if event.is_retraction:
        yield codes.PRIORITY, codes.RETRACTED
        yield codes.BEFORE, level
    else:
        yield codes.PRIORITY, level
    yield codes.QUALITY, named(flag["qc"]["status"])
    yield codes.USE, named(flag["regulatory"]["status"])
    yield codes.ENVIRONMENT, named(flag["environment"])


def _texts(event: FlagEvent) -> Iterator[tuple[str, str]]:
    flag = event.flag
    yield codes.STATEMENT, flag["regulatory"]["statement"]
    yield codes.EXPLANATION, flag["result"]["explanation"]
    yield codes.ACCESSION, flag["case"]["accession"]["value"]
    yield codes.SLIDE, flag["slide"]["slide_id"]["value"]
    yield codes.IMAGE, flag["slide"]["image_sha256"]
    yield codes.FLAG, flag["flag_id"]
    yield codes.EVENT, event.event_id
    yield codes.ANSWER, event.answer
    yield codes.ACTION, flag["action"]
    if flag["regulatory"]["device_id"]:
        yield codes.DEVICE, flag["regulatory"]["device_id"]
    if flag["retraction_reason"]:
        yield codes.REASON, flag["retraction_reason"]


def _regions(
    event: FlagEvent, source: Dataset
) -> Iterator[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Outlines in pixels of the image (PS3.3 C.18.6); none of a flag that was taken back."""
    flag = event.flag
    for region in [] if event.is_retraction else flag["evidence"]["regions"]:
        points = np.asarray([*region["points"], region["points"][0]], np.float64)
        name = f"region+{event.event_id}+{region['region_id']}"
        yield sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(
                uid_beside(flag["flag_id"], name), region["region_id"]
            ),
            referenced_region=sr.ImageRegion(
                graphic_type=sr.GraphicTypeValues.POLYLINE,
                graphic_data=points,
                source_image=sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID),
                pixel_origin_interpretation=sr.PixelOriginInterpretationValues.VOLUME,
            ),
            finding_type=named(flag["result"]["finding"]["code"]),
            measurements=[_number(codes.PEAK, float(region["score"]))],
        )
