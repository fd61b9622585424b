"""What a run leaves beside its slides' results: which slides, how long, which stage was the limit.

``OUT/runs/<start, UTC>.json``; see ``docs/runs.md``.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.files import write_whole
from wsi_ai.core.software import software
from wsi_ai.core.timing import Efficiency, Flow, Interval, Stage, Timing, of_run
from wsi_ai.errors import OutputError
from wsi_ai.results import record
from wsi_ai.results.summary import NOT_JUDGED, SummaryLine, write_summary
from wsi_ai.run.outcome import Ended, Outcome
from wsi_ai.schemas.reading import TABLE_BYTES, content_of, from_json

log = logging.getLogger(__name__)
FOLDER = "runs"


def by_device(outcomes: Iterable[Ended]) -> dict[str, Efficiency]:
    """Of the devices on which anything was done, by name."""
    timings: dict[str, list[Timing]] = {}
    for outcome in outcomes:
        if outcome.timing is not None and outcome.timing.spans:
            timings.setdefault(outcome.device, []).append(outcome.timing)
    return {device: of_run(timings[device]) for device in sorted(timings)}


def added_up(devices: Iterable[Efficiency]) -> Efficiency:
    """Of several devices: their times added up."""
    found = list(devices)
    busy = {stage: sum(one.busy_s[stage] for one in found) for stage in Stage}
    return Efficiency(sum(one.wall_s for one in found), busy)


def write_not_started(out: Path, kind: str, reason: str, slides: int) -> None:
    """That a run could not begin, beside the records of earlier ones; nothing where there are
    none."""
    if not (out / FOLDER).is_dir():
        return
    name = datetime.now(UTC).strftime("not-started-%Y%m%dT%H%M%S.%fZ.json")
    found = {"software": software(), "not_started": kind, "reason": reason}
    _write(out / FOLDER / name, {**found, "slides_waiting": slides})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """A run's results do not fail for want of its record: where it cannot be written, that is
    logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        log.warning("the record of the run cannot be written: %s", error.strerror)


@dataclass(slots=True)
class RunLog:
    """Notes every outcome, and writes them down at the end."""

    out: Path
    cards: Sequence[ModelCard]
    devices: Sequence[str]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcomes: list[Ended] = field(default_factory=list)

    def write(self, *, complete: bool) -> None:
        if self.outcomes:
            name = self.started.strftime("%Y%m%dT%H%M%S.%fZ.json")
            _write(self.out / FOLDER / name, self.record(complete=complete))
            self._write_summary()

    def _write_summary(self) -> None:
        """Of flags; a run's results do not fail for want of it."""
        lines = [_summary_line(one) for one in self.outcomes if isinstance(one, Outcome)]
        if not lines:
            return
        try:
            write_summary(self.out, lines)
        except OutputError as error:
            log.warning("the summary of the run: %s", error)

    def record(self, *, complete: bool) -> dict[str, Any]:
        found = by_device(self.outcomes)
        return {
            "software": software(),
            "models": [record.model_record(card) for card in self.cards],
            "devices": list(self.devices),
            "started": self.started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "complete": complete,
            "start_up_s": _start_up_s(self.outcomes),
            **_efficiency_record(added_up(found.values())),
            "by_device": [
                {"device": name, **_efficiency_record(one)} for name, one in found.items()
            ],
            "slides": [_slide(self.out, outcome) for outcome in self.outcomes],
        }


def _summary_line(outcome: Outcome) -> SummaryLine:
    return SummaryLine(
        slide=outcome.slide.name,
        model=outcome.model,
        level=outcome.level.value if outcome.judged else NOT_JUDGED,
        reason=outcome.reason,
        folder=outcome.folder,
        seconds=_seconds(outcome.timing),
        done_before=not outcome.fresh,
    )


def _seconds(timing: Timing | None) -> float | None:
    """From when the slide was taken up to its end; it may have waited in between."""
    if timing is None or not timing.spans:
        return None
    starts = [start for _, start, _ in timing.spans]
    return round(float(max(end for *_, end in timing.spans) - min(starts)), 2)


def newest(out: Path) -> Path:
    """The record of the last run in ``out``.  Raises OutputError."""
    found = sorted((out / FOLDER).glob("[0-9]*.json"))
    if not found:
        raise OutputError(f"there is no record of a run in {out / FOLDER}")
    return found[-1]


def load(path: Path) -> dict[str, Any]:
    """Raises OutputError where it is no record of a run."""
    try:
        said: dict[str, Any] = from_json(content_of(path, TABLE_BYTES))
        if "slides" in said and "by_device" in said:
            return said
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        pass
    raise OutputError(f"{path} is no record of a run; those lie in OUT/{FOLDER}")


def _start_up_s(outcomes: Iterable[Ended]) -> float | None:
    """Until the first slide was taken up."""
    firsts = [o.timing.spans[0][1] for o in outcomes if o.timing and o.timing.spans]
    return round(min(firsts), 3) if firsts else None


def _efficiency_record(found: Efficiency) -> dict[str, Any]:
    return {
        "wall_s": round(found.wall_s, 3),
        "busy_s": {stage.value: round(seconds, 3) for stage, seconds in found.busy_s.items()},
        "limit": found.limit.value,
        "efficiency": round(found.share, 4),
    }


def _slide(out: Path, outcome: Ended) -> dict[str, Any]:
    return {
        "slide": outcome.slide.name,
        "model": outcome.model,
        "folder": str(outcome.folder.relative_to(out)) if outcome.folder else None,
        **outcome.answer_record(),
        "reason": outcome.reason,
        "done_before": not outcome.fresh,
        **({} if outcome.judged else {"not_judged": True}),
        "device": outcome.device,
        **_times(outcome.timing),
    }


def _times(timing: Timing | None) -> Mapping[str, Any]:
    if timing is None:
        return {"spans": [], "tiles": None, "batch_s": None}
    spans = [
        {"stage": stage, "start_s": round(start, 4), "end_s": round(end, 4)}
        for stage, start, end in timing.spans
    ]
    batch = None if timing.batch_s is None else round(timing.batch_s, 5)
    return {
        "spans": spans,
        "tiles": _flow(timing.tiles) if timing.tiles else None,
        "batch_s": batch,
    }


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "start_s": round(flow.start_s, 4),
        "end_s": round(flow.end_s, 4),
        "inference_waited_s": round(flow.waited_s, 4),
        "reading_was_busy_s": round(flow.busy_s, 4),
        "waits": _rounded(flow.waits),
        "stands": _rounded(flow.stands),
    }


def _rounded(intervals: Iterable[Interval]) -> list[list[float]]:
    return [[round(start, 4), round(end, 4)] for start, end in intervals]
