"""Everything that a slide leaves behind, in one folder that appears whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_ai.core.contracts import Post
from wsi_ai.core.software import versions
from wsi_ai.core.timing import Stage, Stopwatch, of_slide, timestamp
from wsi_ai.core.values import Marks, SlideInfo
from wsi_ai.errors import OutputError, Unsent
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.flag_json import Provenance, flag_json
from wsi_ai.results.folder import fresh_folder, write_json
from wsi_ai.results.geojson import write_geojson
from wsi_ai.results.objects import write_objects
from wsi_ai.results.overlay import OverlayInput, write_overlay
from wsi_ai.results.record import model_record
from wsi_ai.results.wsinfer_csv import write_csv
from wsi_ai.tissue.overview import Overview

FORMATS = ("wsinfer",)
"""What may be written beside the usual."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What run.json says beside the assessment."""

    provenance: Provenance
    question: str
    """SHA-256 of everything that the answer depends on."""
    asked: Mapping[str, Any]
    clock: Stopwatch | None
    failed: bool
    """The slide or its sending, not the answer: it is tried again next time."""
    early_s: float | None = None
    """When the flag was raised, if that was before the slide was through."""
    formats: tuple[str, ...] = ()
    """What is written beside the usual, of ``FORMATS``."""
    changes: tuple[str, ...] = ()
    """What had to be done so that the device could go on."""


def finished(folder: Path, question: str) -> dict[str, Any] | None:
    """The flag that answers this very question already, or ``None``."""
    try:
        record = json.loads((folder / "run.json").read_text("utf-8"))
        flag: dict[str, Any] = json.loads((folder / "flag.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return flag if record["question"] == question and not record["failed"] else None


def write_results(
    folder: Path, assessment: Assessment, run: RunRecord, post: Post
) -> dict[str, Any]:
    """Write all files as ``folder``, and return the flag as its file says it: as ``post`` kept it.

    The flag is kept once everything else is on the disk, and before ``folder`` appears: a crash in
    between leaves a slide to be done again, whose flag says nothing new.  Raises OutputError, and
    then leaves what was there before; or Unsent where ``post`` alone failed: then everything is
    written, and not taken for ``finished``.
    """
    unsent: OutputError | None = None
    body = flag_json(assessment.flag, run.provenance)
    with fresh_folder(folder) as aside:
        if assessment.canvas is not None:
            assessment.canvas.write(aside)
        if assessment.heatmap is not None and "wsinfer" in run.formats:
            write_csv(aside / "wsinfer.csv", assessment.heatmap)
        if assessment.heatmap is not None and assessment.heatmap.objects is not None:
            write_objects(aside, assessment.heatmap.objects, assessment.flag.model)
        if (look := assessment.look) is not None:
            write_overlay(aside / "overlay.png", _view(assessment, look))
            write_geojson(aside / "findings.geojson", assessment.flag)
        try:
            body = post.put(body)
        except OutputError as error:
            unsent, run = error, replace(run, failed=True)
        write_json(aside / "run.json", _record(assessment, run))
        write_json(aside / "flag.json", body)
    if unsent is not None:
        raise Unsent(f"the results are there, but their flag was not sent: {unsent}; run it again")
    return body


def _view(assessment: Assessment, look: Overview) -> OverlayInput:
    marks = assessment.canvas.marks() if assessment.canvas is not None else Marks()
    return OverlayInput(look.thumbnail, look.tissue, assessment.heatmap, assessment.flag, marks)


def _record(assessment: Assessment, run: RunRecord) -> dict[str, Any]:
    flag, provenance = assessment.flag, run.provenance
    inferred = int(assessment.heatmap.assessed.sum()) if assessment.heatmap else 0
    return {
        "software": provenance.software,
        "question": run.question,
        "failed": run.failed,
        "level": flag.level.value,
        "reason": flag.reason,
        "slide": slide_record(flag.slide),
        "model": model_record(flag.model),
        "stain_normalisation": assessment.recolour.as_dict() if assessment.recolour else None,
        "runtime": provenance.runtime,
        "device_changes": list(run.changes),
        "decoded_by": run.clock.decoded_by if run.clock else None,
        "asked": dict(run.asked),
        f"{flag.model.cell_name}s": {
            "planned": flag.planned,
            "inferred": inferred,
            "left_out": flag.planned - inferred,
            "resumed": assessment.resumed,
        },
        "timing": timing_record(run.clock, run.early_s) if run.clock else None,
        "started": timestamp(provenance.started),
        "finished": timestamp(provenance.finished),
        "versions": versions(),
    }


def slide_record(slide: SlideInfo) -> dict[str, Any]:
    """For run.json."""
    return {
        "sha256": slide.fingerprint,
        "vendor": slide.vendor,
        "reader": slide.reader,
        "width": slide.size.width,
        "height": slide.size.height,
        "mpp_x": slide.spacing.x_um if slide.spacing else None,
        "mpp_y": slide.spacing.y_um if slide.spacing else None,
    }


def timing_record(clock: Stopwatch, early_s: float | None) -> dict[str, Any]:
    """Seconds since the run began, so that its slides can be laid beside each other."""
    timing = clock.timing()
    flow, found = timing.tiles, of_slide(timing)
    shares = {stage: busy / found.wall_s for stage, busy in found.busy_s.items()} if found else {}
    return {
        "spans": [
            {"stage": stage, "start_s": round(start, 3), "end_s": round(end, 3)}
            for stage, start, end in clock.spans
        ],
        "to_flag_s": round((early_s or clock.now()) - clock.spans[0][1], 3),
        "to_finish_s": round(clock.now() - clock.spans[0][1], 3),
        "inference_waited_for_tiles_s": round(flow.waited_s, 3) if flow else None,
        "reading_was_busy_s": round(flow.busy_s, 3) if flow else None,
        "inference_busy_share": _share(shares.get(Stage.INFERENCE)),
        "reading_busy_share": _share(shares.get(Stage.READING)),
        "pipeline_efficiency": _share(found.share if found else None),
        "limit": found.limit.value if found else None,
    }


def _share(value: float | None) -> float | None:
    return None if value is None else round(min(1.0, value), 4)
