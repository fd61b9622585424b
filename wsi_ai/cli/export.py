"""``wsi-ai export dicom``: reports, withdrawals, heatmaps and hotspots as files."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.delivery.formats.dicom import report, withdrawal
from wsi_ai.delivery.formats.event import FlagEvent, event_for
from wsi_ai.delivery.outbox import Outbox
from wsi_ai.delivery.posting import open_outbox
from wsi_ai.errors import OutputError, Refused, disk_errors
from wsi_ai.results.dicom import FOLDER, IMAGE
from wsi_ai.results.sealed import sealed_results


@dataclass(slots=True)
class _Counts:
    slides: int = 0
    files: int = 0
    refused: dict[str, int] = field(default_factory=dict)


@exit_on_error
def dicom(run: Path, to: Path, database: str | None) -> int:
    """Every slide of the run whose flag has an image in DICOM.  A flag that changed since is
    written as the outbox has it now, so that none that was taken back is handed on."""
    if not run.is_dir():
        raise OutputError(f"there is no such folder of results: {run}")
    own = run / "outbox.db"
    place = database or (str(own) if own.exists() else None)
    counts = _Counts()
    with ExitStack() as opened:
        outbox = opened.enter_context(open_outbox(place)) if place else None
        for folder in _folders(run):
            _export(folder, to, outbox, counts)
    say(f"{counts.files} files of {counts.slides} slides in {to}")
    for why, count in counts.refused.items():
        say(f"wsi-ai: {count} not written: {why}")
    return Exit.OK if counts.slides and not counts.refused else Exit.SOME


def _folders(run: Path) -> Iterator[Path]:
    for flag in sorted(run.rglob("flag.json")):
        if not any(part.startswith(".") for part in flag.relative_to(run).parts):
            yield flag.parent


def _export(folder: Path, to: Path, outbox: Outbox | None, counts: _Counts) -> None:
    found = sealed_results(folder)
    if found is None:
        return
    flag: Mapping[str, Any] = found[1]
    if outbox is not None:
        flag = outbox.flag(flag["flag_id"]) or flag
    try:
        made = list(_made(event_for(flag), _header(folder)))
    except Refused as error:
        counts.refused[str(error)] = counts.refused.get(str(error), 0) + 1
        return
    target = to / flag["flag_id"]
    with disk_errors():
        target.mkdir(parents=True, exist_ok=True)
        for earlier in target.glob("*.dcm"):
            earlier.unlink()
        for name, content in made:
            (target / name).write_bytes(content)
        objects = sorted((folder / FOLDER).glob("*.dcm")) if _holds(flag) else []
        for one in objects:
            shutil.copyfile(one, target / one.name)
    counts.slides += 1
    counts.files += len(made) + len(objects)


def _made(event: FlagEvent, header: Dataset | None) -> Iterator[tuple[str, bytes]]:
    revision = event.flag["revision"]
    yield f"report.{revision:06d}.dcm", report.render(event, header)
    if event.is_retraction:
        yield f"withdrawal.{revision:06d}.dcm", withdrawal.render(event, header)


def _holds(flag: Mapping[str, Any]) -> bool:
    return flag["retraction_reason"] is None


def _header(folder: Path) -> Dataset | None:
    """``None`` where the run did not keep it: then the report names no patient."""
    try:
        return Dataset.from_json(json.loads((folder / FOLDER / IMAGE).read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        raise OutputError(
            "what a run kept of a slide's image cannot be read; run it anew"
        ) from None
