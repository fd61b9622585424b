"""What lies in a folder of results, a line for each slide and model.

Nothing is left out in silence: what cannot be read, and a slide of the last runs that has no
results, is a line that says so.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.results.pages.origin import not_sent
from wsi_ai.results.pages.report import NAME, PREVIEW
from wsi_ai.schemas.reading import TABLE_BYTES, content_of, from_json

_SLIDE = re.compile(r"(?P<stem>.+)-[0-9a-f]{8}", re.DOTALL)
_FLAG_BYTES = 1 << 20
_RECORDS, _RECORD_BYTES = 50, 8 << 20
_URGENCY = (Level.EXPEDITE.value, Level.NOT_ASSESSED.value, Level.STANDARD.value)
"""What nobody has judged comes before what was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer of one model to one slide."""

    slide: str
    """The name of its file."""
    model: str
    level: str
    reason: str
    score: float | None = None
    threshold: float | None = None
    seen: float | None = None
    quality: str = ""
    issued: str = ""
    made_for: str = ""
    """The model's intended use."""
    folder: Path | None = None
    """Of the slide; this and the paths below it start at the folder of results."""
    report: Path | None = None
    preview: Path | None = None
    not_sent: str = ""
    """Why its flag was not, as far as its folder knows."""
    broken: bool = False
    """There should be an answer, and it cannot be read."""

    @property
    def order(self) -> tuple[int, float, str, str]:
        """The most urgent first."""
        return _URGENCY.index(self.level), -(self.score or 0.0), self.slide, self.model


def entries(out: Path) -> list[Entry]:
    """The most urgent first.  Raises OSError."""
    found = [entry for slide in _folders(out) for entry in _of_slide(out, slide)]
    return sorted([*found, *_without_results(out)], key=lambda entry: entry.order)


def not_started(out: Path) -> str:
    """Why the last run did not begin; empty where it did."""
    records = sorted((out / "runs").glob("*.json"), key=lambda path: path.name[-26:])
    if not records or not records[-1].name.startswith("not-started-"):
        return ""
    said = _read(records[-1], TABLE_BYTES)
    return str(said.get("reason", "")) if isinstance(said, dict) else ""


def _folders(place: Path) -> list[Path]:
    with os.scandir(place) as found:
        names = [e.name for e in found if e.is_dir(follow_symlinks=False)]
    return [place / name for name in sorted(names)]


def _of_slide(out: Path, folder: Path) -> Iterator[Entry]:
    if _SLIDE.fullmatch(folder.name):
        for model in _folders(folder):
            if model.name.startswith("."):  # unfinished, or kept aside
                continue
            if (entry := _entry(out, model)) is not None:
                yield entry


def _entry(out: Path, folder: Path) -> Entry | None:
    """``None`` of what gives no flag."""
    flag = _read(folder / "flag.json", _FLAG_BYTES)
    if flag is None and _is_embedding(folder):
        return None
    made = _SLIDE.fullmatch(folder.parent.name)
    entry = Entry(
        slide=made["stem"] if made else folder.parent.name,
        model=folder.name,
        level=Level.NOT_ASSESSED.value,
        reason="the flag cannot be read: it is damaged, incomplete, or of a newer version",
        folder=folder.parent.relative_to(out),
        report=_link(out, folder, NAME, "overlay.png"),
        preview=_link(out, folder, PREVIEW, "overlay.png"),
        broken=True,
    )
    try:
        found = _read_into(entry, flag)
    except (KeyError, TypeError, ValueError):
        return entry
    return replace(found, not_sent=_not_sent(folder, found.level))


def _read_into(entry: Entry, flag: Any) -> Entry:
    """Raises KeyError, TypeError or ValueError where it is no flag of a version that is known."""
    if not str(flag["schema_version"]).startswith("1."):
        raise ValueError("a newer version")
    result, quality = flag["result"], flag["qc"]
    return replace(
        entry,
        level=Level(result["level"]).value,
        reason=str(result["explanation"]),
        score=_number(result["score"]),
        threshold=_number(result["threshold"]["value"]),
        seen=_number(quality["analysed_fraction"]),
        quality=str(quality["status"]),
        issued=str(flag["timestamps"]["issued"]),
        made_for=str(flag["regulatory"]["intended_use"]),
        broken=False,
    )


def _not_sent(folder: Path, level: str) -> str:
    """Most records say nothing of it, and are not read: there may be tens of thousands."""
    try:
        content = content_of(folder / "run.json", TABLE_BYTES)
        if b'"held_back"' not in content and b'"failed": true' not in content:
            return ""
        record = from_json(content)
    except (OSError, ValueError):
        return "its record cannot be read"
    return not_sent(record, level) if isinstance(record, dict) else ""


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _is_embedding(folder: Path) -> bool:
    record = _read(folder / "run.json", TABLE_BYTES)
    return isinstance(record, dict) and str(record.get("flag", "")).startswith("none")


def _read(path: Path, most_bytes: int) -> Any:
    """``None`` where it is not there, or no JSON."""
    try:
        return from_json(content_of(path, most_bytes))
    except (OSError, ValueError):
        return None


def _link(out: Path, folder: Path, *names: str) -> Path | None:
    """The first of these that is there."""
    there = (folder / name for name in names if (folder / name).is_file())
    return next((path.relative_to(out) for path in there), None)


def _without_results(out: Path) -> Iterator[Entry]:
    """Slides of the last runs of which nothing was written, unless a later run did."""
    seen = set[tuple[str, str]]()
    for path in _last_records(out):
        for slide in _slides_of(_read(path, TABLE_BYTES)):
            key = str(slide.get("slide")), str(slide.get("model"))
            if key not in seen and slide.get("folder") is None and "embedded" not in slide:
                reason = f"nothing was written: {slide.get('reason')}"
                yield Entry(*key, Level.NOT_ASSESSED.value, reason, broken=True)
            seen.add(key)


def _last_records(out: Path) -> Iterator[Path]:
    """The newest first; of long ones fewer, for they are read at the end of every run."""
    left = _RECORD_BYTES
    for path in sorted((out / "runs").glob("[0-9]*.json"), reverse=True)[:_RECORDS]:
        yield path
        left -= path.stat().st_size
        if left < 0:
            return


def _slides_of(record: Any) -> list[Mapping[str, Any]]:
    slides = record.get("slides") if isinstance(record, dict) else None
    return [one for one in slides if isinstance(one, dict)] if isinstance(slides, list) else []
