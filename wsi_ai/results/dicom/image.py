"""The slide's image, and where on it a heatmap lies."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import ExplicitVRLittleEndian

from wsi_ai.core.dicom import flag_of_uid, uid_beside
from wsi_ai.core.flags import STATEMENT, Flag
from wsi_ai.core.geometry import Step
from wsi_ai.core.software import software
from wsi_ai.core.values import Heatmap
from wsi_ai.delivery.formats.dicom import codes
from wsi_ai.delivery.formats.dicom.source import completed

SHORT_STATEMENT = "AI-generated, unverified. Research use only."
"""As long as LO allows; the whole of it stands in the comments."""
_MOST_CELLS = 1 << 22
LARGEST_TILE = 512


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Scores on a grid, NaN where not assessed; and where the grid lies."""

    scores: NDArray[np.float32]
    missed: NDArray[np.bool_]
    """Planned, and without a score."""
    step: Step

    @property
    def tile_size(self) -> tuple[int, int]:
        rows, cols = self.scores.shape
        return min(rows, LARGEST_TILE), min(cols, LARGEST_TILE)


def cells_of(heatmap: Heatmap) -> Cells:
    """The layer that people are shown; of a very fine one, the highest score of each block of
    cells, and a block counts as missed where any of it was."""
    scores, missed = heatmap.shown, heatmap.missed
    factor = int(np.ceil(np.sqrt(max(1.0, scores.size / _MOST_CELLS))))
    if factor == 1:
        return Cells(scores, missed, heatmap.step)
    filled = np.where(np.isfinite(scores), scores, -1.0).astype(np.float32)
    highest = _blocks(filled, factor, -1.0).max(axis=(1, 3))
    any_missed = _blocks(missed.astype(np.float32), factor, 0.0).max(axis=(1, 3)) > 0
    step = Step(heatmap.step.x * factor, heatmap.step.y * factor)
    return Cells(np.where(highest < 0, np.nan, highest).astype(np.float32), any_missed, step)


def _blocks(values: NDArray[np.float32], factor: int, fill: float) -> NDArray[np.float32]:
    rows, cols = (-(-side // factor) * factor for side in values.shape)
    padded = np.full((rows, cols), fill, values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(rows // factor, factor, cols // factor, factor)


def header_of(flag: Flag) -> Dataset:
    """As highdicom wants a source image."""
    if flag.slide.dicom is None:
        raise ValueError("a slide that is no DICOM image came to be written as one")
    header = completed(Dataset.from_json(flag.slide.dicom.header))
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def placement(header: Dataset, step: Step) -> dict[str, Any]:
    """Spacing in mm, orientation and origin of the source image: all levels of a pyramid share one
    origin, as scanners write them."""
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    down, along = (float(mm) for mm in measures.PixelSpacing)
    origin = header.TotalPixelMatrixOriginSequence[0]
    corner = [
        float(origin.XOffsetInSlideCoordinateSystem),
        float(origin.YOffsetInSlideCoordinateSystem),
        0.0,
    ]
    thickness = measures.get("SliceThickness")
    return {
        "pixel_measures": hd.PixelMeasuresSequence(
            pixel_spacing=[down * step.y, along * step.x],
            slice_thickness=None if thickness is None else float(thickness),
        ),
        "plane_orientation": hd.PlaneOrientationSequence(
            "SLIDE", [float(one) for one in header.ImageOrientationSlide]
        ),
        "plane_positions": [hd.PlanePositionSequence("SLIDE", corner, (1, 1))],
        "tile_pixel_array": True,
        "dimension_organization_type": "TILED_FULL",
    }


def equipment(flag: Flag) -> dict[str, Any]:
    ref = flag.model.ref
    return {
        "manufacturer": codes.MAKER,
        "manufacturer_model_name": codes.short(ref.name) or "unnamed",
        "software_versions": codes.short(f"{software()} {ref.version}"),
        "device_serial_number": ref.sha256,
    }


def algorithm(flag: Flag) -> hd.AlgorithmIdentificationSequence:
    ref = flag.model.ref
    return hd.AlgorithmIdentificationSequence(
        name=codes.short(ref.name) or "unnamed",
        family=standard.cid7162.ArtificialIntelligence,
        version=codes.short(ref.version) or "unnamed",
        source=codes.MAKER,
        parameters={codes.WEIGHTS: ref.sha256, "threshold": repr(flag.threshold)},
    )


def stamp(document: Dataset, description: str, at: datetime) -> Dataset:
    """Series and times; the statement where it has room; and no UID by chance, so that the same
    map is the same object."""
    moment = at.astimezone(UTC)
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
    document.ContentDate = document.InstanceCreationDate = date
    document.ContentTime = document.InstanceCreationTime = time
    document.TimezoneOffsetFromUTC = "+0000"
    document.SpecificCharacterSet = "ISO_IR 192"
    document.SeriesDescription = description
    for maker in document.get("ContributingEquipmentSequence") or []:
        maker.ContributionDateTime = f"{date}{time}+0000"
    if "Rows" in document:
        document.ImageComments = STATEMENT
        document.PatientOrientation = None  # PS3.3 C.7.6.1.1.1: it is a slide's
    for name in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in document.get(name) or []:
            item.DimensionOrganizationUID = uid_beside(_uuid(document), "dimensions")
    return document


def _uuid(document: Dataset) -> str:
    found = flag_of_uid(str(document.SOPInstanceUID))
    if found is None:
        raise ValueError("an object of ours has a UID that is not")
    return found
