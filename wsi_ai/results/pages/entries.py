"""What lies in a folder of results, a line for each slide and model.

Nothing is left out in silence: what cannot be read, and a slide of the last runs that has no
results, is a line that says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.results.listing import model_folders, slide_folders, slide_stem
from wsi_ai.results.pages.origin import not_sent
from wsi_ai.results.pages.report import NAME, PREVIEW
from wsi_ai.results.written import FLAG, RECORD, as_object, is_known, read_object
from wsi_ai.schemas.reading import TABLE_BYTES, content_of

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
    found = [entry for folder in _folders(out) if (entry := _entry(out, folder)) is not None]
    return sorted([*found, *_without_results(out)], key=lambda entry: entry.order)


def not_started(out: Path) -> str:
    """Why the last run did not begin; empty where it did."""
    records = sorted((out / "runs").glob("*.json"), key=lambda path: path.name[-26:])
    if not records or not records[-1].name.startswith("not-started-"):
        return ""
    return str(_read(records[-1]).get("reason", ""))


def _folders(out: Path) -> Iterator[Path]:
    """No links: what they lead to is no result of a run of OUT."""
    for slide in slide_folders(out):
        if not slide.is_symlink():
            yield from (model for model in model_folders(slide) if not model.is_symlink())


def _entry(out: Path, folder: Path) -> Entry | None:
    """``None`` of what gives no flag."""
    flag = _read(folder / FLAG, _FLAG_BYTES)
    if not flag and _is_embedding(folder):
        return None
    entry = Entry(
        slide=slide_stem(folder.parent),
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


def _read_into(entry: Entry, flag: Mapping[str, Any]) -> Entry:
    """Raises KeyError, TypeError or ValueError where it is no flag of a version that is known."""
    if not is_known(flag):
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
        content = content_of(folder / RECORD, TABLE_BYTES)
        if b'"held_back"' not in content and b'"failed": true' not in content:
            return ""
        return not_sent(as_object(content), level)
    except (OSError, ValueError):
        return "its record cannot be read"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _is_embedding(folder: Path) -> bool:
    return str(_read(folder / RECORD).get("flag", "")).startswith("none")


def _read(path: Path, most_bytes: int = TABLE_BYTES) -> dict[str, Any]:
    """Empty where it is not there, or cannot be read."""
    try:
        return read_object(path, most_bytes)
    except (OSError, ValueError):
        return {}


def _link(out: Path, folder: Path, *names: str) -> Path | None:
    """The first of these that is there."""
    there = (folder / name for name in names if (folder / name).is_file())
    return next((path.relative_to(out) for path in there), None)


def _without_results(out: Path) -> Iterator[Entry]:
    """Slides of the last runs of which nothing was written, unless a later run did."""
    seen = set[tuple[str, str]]()
    for path in _last_records(out):
        for slide in _slides_of(_read(path)):
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


def _slides_of(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    slides = record.get("slides")
    return [one for one in slides if isinstance(one, dict)] if isinstance(slides, list) else []
