"""Parametric Map, Segmentation and Microscopy Bulk Simple Annotations, through highdicom.

UIDs are made of the flag's id and of what the object says: another map never has an old one's.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import RLELossless

from wsi_ai.core.dicom import uid_beside
from wsi_ai.core.flags import STATEMENT, Flag
from wsi_ai.core.values import Heatmap
from wsi_ai.delivery.formats.dicom import codes
from wsi_ai.delivery.formats.dicom.objects import FOLDER, content_sha256, series_of, written
from wsi_ai.results.dicom.image import (
    SHORT_STATEMENT,
    Cells,
    algorithm,
    cells_of,
    equipment,
    header_of,
    placement,
    stamp,
)

log = logging.getLogger(__name__)
NOT_ASSESSED = -1.0
"""Float Pixel Padding Value: no score is below 0."""
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
_MISSED = Code("not-assessed", codes.SCHEME, "Tissue that was not assessed")
_ATTENTION = Code("attention", codes.SCHEME, "Attention of the model: no probability")


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What all three are made of."""

    flag: Flag
    header: Dataset
    cells: Cells
    of_slide: bool
    """The map is the attention of a model that judges the slide as a whole."""

    @property
    def quantity(self) -> Code:
        return _ATTENTION if self.of_slide else codes.ours(codes.SCORE)

    @property
    def label(self) -> str:
        return codes.short(self.flag.model.point.label) or "finding"

    def names(self, kind: str, number: int) -> dict[str, Any]:
        flag, content = self.flag, hashlib.sha256(np.ascontiguousarray(self.cells.scores).tobytes())
        content.update(repr((flag.findings, flag.model.ref, flag.threshold)).encode())
        content.update(self.cells.missed.tobytes())
        return {
            "series_instance_uid": series_of(flag.flag_id, kind),
            "series_number": number,
            "sop_instance_uid": uid_beside(flag.flag_id, f"{kind}+{content.hexdigest()}"),
            "instance_number": 1,
            **equipment(flag),
        }


def write_objects(folder: Path, flag: Flag, heatmap: Heatmap, at: datetime) -> list[dict[str, Any]]:
    """See ``write_dicom``.  A fractional map of attention would say that it is a probability, so
    there is none; hotspots only where there are findings.  What the slide's header does not allow,
    as a map of an image whose place on the glass it does not say, must not cost the flag."""
    made = Made(flag, header_of(flag), cells_of(heatmap), heatmap.of_slide)
    named = list[dict[str, Any]]()
    for kind, make in _wanted(made):
        try:
            document = make(made)
        except (AttributeError, LookupError, TypeError, ValueError):
            log.warning("no %s is written of a slide: its header lacks what that needs", kind)
        else:
            named.append(_written(folder / FOLDER, kind, document, at))
    return named


def _wanted(made: Made) -> Iterator[tuple[str, Callable[[Made], Dataset]]]:
    yield "parametric-map", parametric_map
    if not made.of_slide:
        yield "segmentation", segmentation
    if made.flag.findings:
        yield "annotations", annotations


_DESCRIPTIONS = {
    "parametric-map": "AI heatmap (wsi_ai)",
    "segmentation": "AI heatmap as a segmentation (wsi_ai)",
    "annotations": "AI hotspots (wsi_ai)",
}


def _written(folder: Path, kind: str, document: Dataset, at: datetime) -> dict[str, Any]:
    stamp(document, _DESCRIPTIONS[kind], at)
    (folder / f"{document.SOPInstanceUID}.dcm").write_bytes(written(document))
    return {
        "kind": kind,
        "sop_class": str(document.SOPClassUID),
        "series_uid": str(document.SeriesInstanceUID),
        "sop_uid": str(document.SOPInstanceUID),
        "sha256": content_sha256(document),
    }


def parametric_map(made: Made) -> Dataset:
    """The scores themselves, float32."""
    scores = made.cells.scores
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="score",
        lut_explanation=made.quantity.meaning,
        unit=standard.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=made.quantity,
    )
    document: Dataset = hd.pm.ParametricMap(
        source_images=[made.header],
        pixel_array=np.where(np.isfinite(scores), scores, NOT_ASSESSED).astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_qualification="RESEARCH",
        content_label="AI_HEATMAP",
        content_description=SHORT_STATEMENT,
        tile_size=made.cells.tile_size,
        **placement(made.header, made.cells.step),
        **made.names("parametric-map", 9102),
    )
    document.FloatPixelPaddingValue = document.FloatPixelPaddingRangeLimit = NOT_ASSESSED
    return document


def segmentation(made: Made) -> Dataset:
    """The scores in 255 steps, for viewers that show no floats; and, as a segment of its own, the
    tissue that was not assessed, which a fraction of 0 would hide."""
    scores = np.nan_to_num(made.cells.scores, nan=0.0)
    layers = np.stack([np.clip(scores, 0, 1), made.cells.missed.astype(np.float32)], axis=-1)
    document: Dataset = hd.seg.Segmentation(
        source_images=[made.header],
        pixel_array=layers[np.newaxis],
        segmentation_type="FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=255,
        segment_descriptions=[
            _segment(made, 1, made.label, (_ABNORMAL, codes.named(made.label))),
            _segment(made, 2, "not assessed", (_CONCEPT, _MISSED)),
        ],
        content_label="AI_HEATMAP",
        content_description=SHORT_STATEMENT,
        tile_size=made.cells.tile_size,
        omit_empty_frames=False,
        transfer_syntax_uid=RLELossless,
        **placement(made.header, made.cells.step),
        **made.names("segmentation", 9103),
    )
    return document


def _segment(
    made: Made, number: int, label: str, coded: tuple[Code, Code]
) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=coded[0],
        segmented_property_type=coded[1],
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm(made.flag),
        tracking_uid=uid_beside(made.flag.flag_id, f"segment+{number}"),
        tracking_id=label,
    )


def annotations(made: Made) -> Dataset:
    """Outlines of the findings in pixels of the image, whole but for their holes."""
    findings = made.flag.findings
    peaks = np.array([finding.peak for finding in findings], np.float64)
    group = hd.ann.AnnotationGroup(
        number=1,
        uid=uid_beside(made.flag.flag_id, "hotspots"),
        label=made.label,
        annotated_property_category=_ABNORMAL,
        annotated_property_type=codes.named(made.label),
        graphic_type="POLYGON",
        graphic_data=[np.array(finding.outline, np.float64) for finding in findings],
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm(made.flag),
        measurements=[
            hd.ann.Measurements(
                name=codes.ours(codes.PEAK), values=peaks, unit=standard.UCUM.NoUnits
            )
        ],
        description=STATEMENT,
    )
    document: Dataset = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[made.header],
        annotation_coordinate_type="2D",
        annotation_groups=[group],
        content_label="AI_HOTSPOTS",
        content_description=SHORT_STATEMENT,
        **made.names("annotations", 9104),
    )
    return document
