"""Measure whole runs."""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_ai.app import RunOptions, run_slides
from wsi_ai.bench.measured import Times
from wsi_ai.bench.processes import ProcessCost, cost_of
from wsi_ai.bench.report import WHOLE, Limit, Stage
from wsi_ai.bench.rounds import Timed, time_once
from wsi_ai.bench.whole import ProcessRun
from wsi_ai.errors import InputError, OutputError
from wsi_ai.run.run_record import load, newest

Record = Mapping[str, Any]


def whole_runs(
    slide: Path, model: Path, options: RunOptions, rounds: int
) -> tuple[list[Timed], list[Record]]:
    """In this process, start of the runtime included."""
    records = list[Record]()
    timed = [time_once(lambda: records.append(_one(slide, model, options))) for _ in range(rounds)]
    return timed, records


def stages_of(
    timed: Sequence[Timed], records: Sequence[Record], tiles: int, forward: Stage
) -> Iterator[Stage]:
    """What the runs spent on results, and the whole, beside inference alone.

    Of results the processor time is not known, and is 0: so a comparison of busy machines says
    nothing of them.
    """
    results = [_seconds(record["slides"][0], "writing") for record in records]
    if all(results):
        own = Times.of([Timed(s, 0.0, t.foreign) for s, t in zip(results, timed, strict=True)])
        yield Stage("results", "slides", 1, 1, own)
    limit = Times.of([Timed(forward.slide_s, forward.slide_s, 0.0)] * len(timed))
    name = f"inference alone, {forward.name}"
    yield Stage(WHOLE, "tiles", tiles, tiles, Times.of(timed), Limit(name, limit))


def in_own_process(slides: Sequence[Path], model: Path, options: RunOptions) -> ProcessRun:
    """As a person starts it: ``wsi-ai run``, start of Python included.  Raises InputError."""
    with tempfile.TemporaryDirectory(prefix="wsi_ai_bench_") as folder:
        words = [sys.executable, "-m", "wsi_ai", "run", *map(str, slides), "--model", str(model)]
        words += ["--out", folder, "--device", options.device]
        words += ["--precision", options.precision.value]
        words += [] if options.mpp is None else ["--mpp", str(options.mpp)]
        costs = list[ProcessCost]()
        timed = time_once(lambda: costs.append(cost_of(words, quiet=True)))
        (cost,) = costs
        record = _record(Path(folder))
        inferred = [slide for slide in record["slides"] if _is_inferred(slide)]
        if len(inferred) != len(slides):
            raise InputError(
                f"wsi-ai run inferred {len(inferred)} of {len(slides)} slides and ended with status"
                f" {cost.exit_status}; {_why(record)}"
            )
        tiles = sum(_tiles(Path(folder) / slide["folder"]) for slide in inferred)
    return ProcessRun(
        slides=len(slides),
        tiles=tiles,
        wall_s=cost.wall_s,
        cpu_s=cost.cpu_s,
        peak_mib=cost.peak_mib,
        others=timed.foreign,
        efficiency=record["efficiency"],
    )


def _one(slide: Path, model: Path, options: RunOptions) -> Record:
    with tempfile.TemporaryDirectory(prefix="wsi_ai_bench_") as folder:
        outcomes = list(run_slides(slide, model, folder, options))
        record = _record(Path(folder))
    if not record["slides"] or not _is_inferred(record["slides"][0]):
        raise InputError(f"the slide was not inferred: {outcomes[0].reason}")
    return record


def _why(record: Record) -> str:
    reasons = [slide["reason"] for slide in record["slides"] if not _is_inferred(slide)]
    return f"the first: {reasons[0]}" if reasons else "give each slide once"


def _record(out: Path) -> Record:
    try:
        return load(newest(out))
    except OutputError:
        return {"slides": []}


def _is_inferred(slide: Mapping[str, Any]) -> bool:
    return slide["folder"] is not None and _seconds(slide, "inference") > 0


def _seconds(slide: Mapping[str, Any], stage: str) -> float:
    found = [span for span in slide["spans"] if span["stage"] == stage]
    return float(sum(span["end_s"] - span["start_s"] for span in found))


def _tiles(folder: Path) -> int:
    return int(json.loads((folder / "run.json").read_text("utf-8"))["tiles"]["inferred"])
