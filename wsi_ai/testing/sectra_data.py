"""Images as a Sectra PACS has them, and what its data model allows in a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Slide:
    """An image in the PACS."""

    slide_id: str
    lis_slide_id: str
    accession: str
    issuer: str = "RXX-LIMS"
    width: int = 2048
    height: int = 1024
    stain: str = "H&E"
    files: tuple[tuple[str, bytes], ...] = (("slide.svs", b""),)
    """By the names that the PACS gives out."""
    quality: dict[str, str] = field(
        default_factory=lambda: {"status": "NotSet", "versionId": "qc0"}
    )

    @property
    def info(self) -> dict[str, Any]:
        return {
            "id": self.slide_id,
            "isStreamable": True,
            "imageSize": {"width": self.width, "height": self.height},
            "tileSize": {"width": 256, "height": 256},
            "micronsPerPixel": 0.5,
            "focalPlanes": [{"id": "0", "offsetUm": 0.0}],
            "opticalPaths": [{"id": "1", "description": "brightfield"}],
            "storedTileFormat": {"mimeType": "image/jpeg", "extension": "jpg"},
            "availableTileFormats": [{"mimeType": "image/jpeg", "extension": "jpg"}],
            "fileFormat": {"mimeType": "image/tiff"},
            "staining": {"displayName": self.stain},
            "block": {"displayName": "A1"},
            "specimen": {"anatomy": "Breast", "description": "core"},
            "qualityControl": dict(self.quality),
            "bodyPart": "BREAST",
            "examCode": "HIST",
            "examDescription": "biopsy",
            "stationName": "scanner",
            "priority": 1,
            "accessionNumber": self.accession,
            "accessionNumberIssuer": self.issuer,
            "studyInstanceUid": "1.2.3",
            "seriesInstanceUid": f"1.2.3.{sum(self.slide_id.encode())}",
            "lisSlideId": self.lis_slide_id,
            "examId": "E1",
            "examDateTime": "2026-11-24T02:00:00Z",
        }


def with_file(slide_id: str, lis_slide_id: str, accession: str, file: Path) -> Slide:
    """An image whose file is there to be fetched."""
    return Slide(slide_id, lis_slide_id, accession, files=((file.name, file.read_bytes()),))


def wrong_in(result: Mapping[str, Any], slide: Slide) -> str | None:
    """What Sectra's data model does not allow in a result."""
    shown = result["data"]["result"]
    content = shown["content"]
    kinds = {"primitive": ("style", "polygons", "polylines", "labels"),
             "patchCollection": ("description", "polygons", "patches", "tags", "patchSize",
                                 "magnification", "statuses", "actions")}  # fmt: skip
    if sorted(content) != sorted(kinds.get(shown["type"], ())):
        return "not the content of its type"
    if not result["displayResult"] or not result["applicationVersion"]:
        return "no text, or no version"
    if not all(
        isinstance(value, str | int | float) for value in result["displayProperties"].values()
    ):
        return "a property is a text or a number"
    points = [point for one in content["polygons"] for point in one["points"]]
    points += [one["location"] for one in content.get("labels", ())]
    points += [one["position"] for one in content.get("patches", ())]
    lowest = slide.height / slide.width + 1e-9
    if not all(0 <= one["x"] <= 1 and 0 <= one["y"] <= lowest for one in points):
        return "a point outside the slide: x and y are shares of its width"
    if any(one["tag"] >= len(content["tags"]) for one in content.get("patches", ())):
        return "a patch with a tag that there is not"
    return None


def files_of(slide: Slide) -> tuple[str, bytes, dict[str, str]]:
    named = 'attachment; filename="{}"'
    if len(slide.files) == 1:
        ((name, content),) = slide.files
        where = {"Content-Disposition": named.format(name)}
        return "application/octet-stream", content, where
    parts = [
        b"--bnd\r\nContent-Type: application/octet-stream\r\nContent-Disposition: "
        + named.format(name).encode() + b"\r\n\r\n" + content + b"\r\n"
        for name, content in slide.files
    ]  # fmt: skip
    return 'multipart/related; boundary="bnd"', b"".join([*parts, b"--bnd--\r\n"]), {}
