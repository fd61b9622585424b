"""The results in a folder, as a viewer shows them: or why it does not."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import OutputError
from wsi_ai.results import listing
from wsi_ai.results.written import FINDINGS, FLAG, OBJECTS, RECORD, as_object, is_known
from wsi_ai.schemas.reading import TABLE_BYTES, content_of
from wsi_ai.service.viewer.scores import ScoreMap, open_maps

_MOST_RUNS = 64
_NEWER = "these results were written by another version of wsi_ai; update it, or run the slide anew"
_INCOMPLETE = "this folder of results is incomplete or damaged; run the slide anew"
_OTHER_BYTES = (
    "these results are of other bytes: the slide's file changed since the run, or it is another"
    " slide of the same name; run it anew"
)


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """One model's results for one slide."""

    folder: Path
    model: str
    """The folder's name."""
    refused: str = ""
    """Why they are not shown; empty where they are."""
    key: str = ""
    """Of the flag's and the record's bytes: stands in the address of whatever is sent of them."""
    flag: Mapping[str, Any] | None = None
    maps: tuple[ScoreMap, ...] = ()

    def are_current(self) -> bool:
        """Whether the folder still holds what was read: a run may have put others in its place."""
        try:
            return self.key == _key(_content(self.folder))
        except (OSError, ValueError):
            return False

    def as_json(self) -> dict[str, Any]:
        """What the page is given."""
        if self.flag is None:
            return {"model": self.model, "refused": self.refused}
        result, quality = self.flag["result"], self.flag["qc"]
        return {
            "key": self.key,
            "model": self.model,
            "refused": "",
            "level": result["level"],
            "explanation": result["explanation"],
            "finding": result["finding"]["code"],
            "score": result["score"],
            "threshold": result["threshold"]["value"],
            "coverage": quality["analysed_fraction"],
            "quality": quality["status"],
            "issued": self.flag["timestamps"]["issued"],
            "statement": STATEMENT,
            "maps": [one.as_json() for one in self.maps],
            "regions": (self.folder / FINDINGS).exists(),
            "objects": (self.folder / OBJECTS).exists(),
        }


def open_results(folder: Path, slide: SlideInfo) -> Results:
    """Refused, with the reason, where they are not whole, not of these bytes, or not understood."""
    try:
        content = _content(folder)
        flag, record = map(as_object, content)
        if "schema_version" not in flag or not is_known(flag):
            return Results(folder, as_text(folder.name), _NEWER)
        if _text(flag["slide"], "image_sha256") != slide.fingerprint:
            return Results(folder, as_text(folder.name), _OTHER_BYTES)
        _check(flag, slide)
        maps = open_maps(folder, slide, record["slide"], _main_class(flag))
        found = Results(folder, as_text(folder.name), "", _key(content), flag, maps)
        found.as_json()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OutputError):
        return Results(folder, as_text(folder.name), _INCOMPLETE)
    return found


def as_text(name: str) -> str:
    """A name that is no text, as file systems allow, is written out: JSON has no such."""
    return name.encode("utf-8", "backslashreplace").decode()


def slide_folders(out: Path) -> list[Path]:
    """None of a folder that cannot be looked into."""
    return listing.or_empty(listing.slide_folders, out)


def model_folders(slide_folder: Path) -> list[Path]:
    """Those of a slide's folder that hold a flag; one in which there is none is not finished."""
    folders = listing.or_empty(listing.model_folders, slide_folder)
    found = [path for path in folders if (path / RECORD).exists()]
    return [path for path in found if not (path / "embeddings.zarr").exists()][:_MOST_RUNS]


def _content(folder: Path) -> tuple[bytes, bytes]:
    """Of the flag, and of the record."""
    flag, record = (content_of(folder / name, TABLE_BYTES) for name in (FLAG, RECORD))
    return flag, record


def _key(content: tuple[bytes, bytes]) -> str:
    return hashlib.sha256(b"\0".join(content)).hexdigest()[:16]


def _check(flag: Mapping[str, Any], slide: SlideInfo) -> None:
    """Raises where the flag is not what it says it is.  Its numbers are finite: ``from_json``."""
    Level(flag["result"]["level"])
    size = flag["slide"]["width"], flag["slide"]["height"]
    if size != (slide.size.width, slide.size.height):
        raise ValueError("of another size")
    threshold = flag["result"]["threshold"]["value"]
    if not (isinstance(threshold, int | float) and math.isfinite(threshold)):
        raise TypeError("no threshold")
    _text(flag["result"], "explanation")


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _main_class(flag: Mapping[str, Any]) -> str:
    return _text(flag["result"]["finding"], "code")
