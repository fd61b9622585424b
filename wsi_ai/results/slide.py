"""All files that a slide leaves behind, in one folder that appears whole."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

from wsi_ai.core.contracts import Post, Slide
from wsi_ai.core.flags import Check
from wsi_ai.core.software import versions
from wsi_ai.core.timing import Stage, Stopwatch, of_slide, timestamp
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.errors import HeldBack, OutputError, Unsent
from wsi_ai.heatmaps.kept import Kept, read_kept
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.dicom import write_dicom
from wsi_ai.results.flag_json import Provenance, check_json, flag_json, with_objects
from wsi_ai.results.folder import fresh_folder, write_json
from wsi_ai.results.geojson import write_geojson
from wsi_ai.results.objects import write_objects
from wsi_ai.results.pages.wanted import Pages
from wsi_ai.results.parquet import write_tables
from wsi_ai.results.record import areas_record, card_record, model_record
from wsi_ai.results.sealed import sealed_results, with_seal
from wsi_ai.results.thumbnail import write_mask
from wsi_ai.results.wsinfer_csv import write_csv

log = logging.getLogger(__name__)
_WRITERS: Mapping[str, Callable[[Path, Heatmap], None]] = {
    "wsinfer": lambda folder, heatmap: write_csv(folder / "wsinfer.csv", heatmap),
    "parquet": write_tables,
}
_DICOM, _TISSUE = "dicom", "tissue"
FORMATS = (*_WRITERS, _DICOM, _TISSUE)
"""Formats that can be written in addition to the usual files."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """Where a slide's scores come from: this run, or an earlier one that inferred them."""

    question: str
    """SHA-256 of everything that a score depends on."""
    at: str
    software: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What run.json contains besides the assessment."""

    provenance: Provenance
    question: str
    """SHA-256 of everything that the answer depends on."""
    asked: Mapping[str, Any]
    clock: Stopwatch | None
    failed: bool
    """The slide or its sending failed: it is tried again next time."""
    early_s: float | None = None
    """When the flag was raised, where that was before the end of the slide."""
    formats: tuple[str, ...] = ()
    """Additional formats, of ``FORMATS``."""
    changes: tuple[str, ...] = ()
    """The changes that were needed so that the device could go on."""
    device_choice: Mapping[str, Any] | None = None
    """How ``--device auto`` came to the device; ``None`` where there was nothing to choose."""
    inferred: Inferred | None = None
    """``None`` where there are no scores."""
    policy: Mapping[str, Any] | None = None
    """As a table of its file."""
    pages: Pages = Pages.REPORT


def finished(folder: Path, question: str) -> dict[str, Any] | None:
    """The flag of an earlier answer to exactly this question, or ``None``.  Raises OutputError."""
    if (found := sealed_results(folder)) is None:
        return None
    record, flag = found
    return flag if record["question"] == question and not record["failed"] else None


def finished_scores(folder: Path, question: str) -> tuple[Inferred, Kept] | None:
    """The scores of an earlier run that depend on exactly this, whatever was made of them;
    ``None`` where there are none, or they are not as this site left them.  Raises OutputError."""
    if (found := sealed_results(folder)) is None:
        return None
    told = found[0].get("scores")
    if not told or told["question"] != question:
        return None
    kept = read_kept(folder)
    if kept is None or kept.digest() != told["sha256"]:
        log.warning("the scores of an earlier run are damaged; the slide is inferred again")
        return None
    return Inferred(question, told["at"], told["software"]), kept


@cache
def load_writers() -> Thread:
    """Begin to load what ``write_results`` needs, once: after the first batch, so that no one waits
    for it, and not hours later, from files that an upgrade may have changed by then."""
    thread = Thread(target=_load, name="load writers")
    thread.start()
    return thread


def _load() -> None:
    import zarr  # noqa: F401

    from wsi_ai.results import for_people  # noqa: F401
    from wsi_ai.results.pages import index  # noqa: F401


def write_results(
    folder: Path, assessment: Assessment, run: RunRecord, post: Post, slide: Slide | None = None
) -> dict[str, Any]:
    """Write all files as ``folder``, and return the flag as its file has it: as ``post`` kept it.

    The flag is kept once everything else is on the disk, and before ``folder`` appears: after a
    crash in between, the slide is done again and its flag says nothing new.  A flag that ``post``
    holds back is written as it is, and ``run.json`` says why.  The report says what these two say;
    it shows places of ``slide``, where that is open.

    Raises OutputError, and then leaves what was there before; or Unsent where ``post`` alone
    failed: then everything is written, but does not count as ``finished``.
    """
    load_writers().join()  # two threads in one circle of imports may see half a module
    from wsi_ai.results.for_people import SlidePages

    unsent: OutputError | None = None
    held_back = ""
    with fresh_folder(folder) as aside:
        body = _body(aside, assessment, run)
        scores = _write_data(aside, assessment, run)
        pages = SlidePages(aside, assessment, slide, run.pages)
        pages.write(body, full_record(assessment, run) | scores)
        try:
            kept = post.put(body)
        except HeldBack as error:
            held_back, kept = str(error), body
        except OutputError as error:
            unsent, run, kept = error, replace(run, failed=True), body
        record = full_record(assessment, run) | scores | _held_back_field(held_back)
        if held_back or unsent is not None or kept != body:
            pages.write(kept, record)
        write_json(aside / "run.json", with_seal(record, kept))
        write_json(aside / "flag.json", kept)
    if unsent is not None:
        raise Unsent(f"the results are there, but their flag was not sent: {unsent}; run it again")
    return kept


def _write_data(aside: Path, assessment: Assessment, run: RunRecord) -> dict[str, Any]:
    """What other programs read, and pictures.  Returns what run.json says of the scores."""
    scores = _write_scores(aside, assessment, run)
    if (look := assessment.look) is not None:
        from wsi_ai.results.for_people import write_pictures

        write_pictures(aside, assessment, look)
        if _TISSUE in run.formats:
            write_mask(aside / "tissue.png", look.tissue)
        write_geojson(aside / "findings.geojson", assessment.flag)
    return scores


def _body(aside: Path, assessment: Assessment, run: RunRecord) -> dict[str, Any]:
    """The flag as it is put: where DICOM objects are written, it names them."""
    flag = assessment.flag
    if _DICOM in run.formats:
        objects = write_dicom(aside, flag, assessment.heatmap, run.provenance.finished)
        flag = with_objects(flag, objects)
    return flag_json(flag, run.provenance)


def _write_scores(aside: Path, assessment: Assessment, run: RunRecord) -> dict[str, Any]:
    """Returns what run.json says of them."""
    heatmap = assessment.heatmap
    if assessment.canvas is not None:
        assessment.canvas.write(aside)
    if heatmap is None:
        return {}
    for name in (name for name in run.formats if name in _WRITERS):
        _WRITERS[name](aside, heatmap)
    if heatmap.objects is not None:
        flag = assessment.flag
        write_objects(aside, heatmap.objects, flag.model, flag.slide.bounds_origin)
    if run.inferred is None:
        return {}
    return {"scores": {**asdict(run.inferred), "sha256": Kept.of(heatmap).write(aside)}}


def held_back_of(folder: Path) -> str:
    """Why the flag of the results in ``folder`` was not put for sending; empty where it was."""
    found = sealed_results(folder)
    return str(found[0].get("held_back", "")) if found else ""


def _held_back_field(reason: str) -> dict[str, str]:
    return {"held_back": reason} if reason else {}


def full_record(assessment: Assessment, run: RunRecord) -> dict[str, Any]:
    """What run.json says, but for where scores are kept and whether the flag was sent."""
    flag, provenance = assessment.flag, run.provenance
    inferred = int(assessment.heatmap.assessed.sum()) if assessment.heatmap else 0
    return {
        "software": provenance.software,
        "question": run.question,
        "failed": run.failed,
        "level": flag.level.value,
        "reason": flag.reason,
        "slide": slide_record(flag.slide),
        "quality": [_exact_check(one) for one in flag.quality.checks] if flag.quality else None,
        "model": model_record(flag.model),
        "card": card_record(flag.model),
        "policy": dict(run.policy) if run.policy else None,
        "stain_normalisation": assessment.recolour.as_dict() if assessment.recolour else None,
        "runtime": provenance.runtime,
        "device_choice": dict(run.device_choice) if run.device_choice else None,
        "device_changes": list(run.changes),
        "decoded_by": run.clock.decoded_by if run.clock else None,
        "asked": dict(run.asked),
        f"{flag.model.cell_name}s": {
            "planned": flag.planned,
            "inferred": inferred,
            "left_out": flag.planned - inferred,
            "resumed": assessment.resumed,
        },
        "areas": areas_record(flag, assessment.heatmap),
        "timing": timing_record(run.clock, run.early_s) if run.clock else None,
        "started": timestamp(provenance.started),
        "finished": timestamp(provenance.finished),
        "versions": versions(),
    }


def _exact_check(check: Check) -> dict[str, Any]:
    """Not rounded, so that it can be held to other limits."""
    return {**check_json(check), "value": check.value}


def slide_record(slide: SlideInfo) -> dict[str, Any]:
    """The slide's part of run.json."""
    return {
        "sha256": slide.fingerprint,
        "vendor": slide.vendor,
        "scanner": slide.scanner,
        "reader": slide.reader,
        "width": slide.size.width,
        "height": slide.size.height,
        "mpp_x": slide.spacing.x_um if slide.spacing else None,
        "mpp_y": slide.spacing.y_um if slide.spacing else None,
        **({"image": slide.image} if slide.image else {}),
        **({"origin_px": list(slide.bounds_origin)} if any(slide.bounds_origin) else {}),
        **_stated_field(slide),
    }


def _stated_field(slide: SlideInfo) -> dict[str, float]:
    """What the file says, where another µm/px was used in its place."""
    if slide.stated is None or slide.stated == slide.spacing:
        return {}
    return {"file_mpp_x": slide.stated.x_um, "file_mpp_y": slide.stated.y_um}


def timing_record(clock: Stopwatch, early_s: float | None) -> dict[str, Any]:
    """In seconds since the run began, so that its slides can be compared."""
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
