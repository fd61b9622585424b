"""Heatmap and hotspots as DICOM objects of the slide's own study.  Other modules of this folder
load highdicom; this one only when it is asked to."""

from datetime import datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import Flag, Level
from wsi_ai.core.plugins import needs_extra
from wsi_ai.core.values import Heatmap
from wsi_ai.errors import OutputError

FOLDER, IMAGE = "dicom", "image.json"


def check_dicom() -> None:
    """Raises OutputError where the library is missing."""
    with needs_extra("dicom", OutputError):
        import highdicom  # noqa: F401


def write_dicom(
    folder: Path, flag: Flag, heatmap: Heatmap | None, at: datetime
) -> list[dict[str, Any]]:
    """Write ``folder/dicom/<UID>.dcm``, and return what the flag says of each; and, as
    ``folder/dicom/image.json``, what a report of a DICOM slide has to repeat: it names the patient.

    No objects of a slide that is no DICOM image, nor of one that was not assessed: a map of it
    could be read as an answer.
    """
    source = flag.slide.dicom
    if source is None or not source.header:
        return []
    (folder / FOLDER).mkdir()
    (folder / FOLDER / IMAGE).write_text(source.header, encoding="utf-8")
    if heatmap is None or flag.level is Level.NOT_ASSESSED:
        return []
    with needs_extra("dicom", OutputError):
        from wsi_ai.results.dicom.objects import write_objects
    return write_objects(folder, flag, heatmap, at)
