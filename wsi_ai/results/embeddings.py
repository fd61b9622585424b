"""What embedding leaves on the disk for a slide, in one folder that appears whole."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.software import software, versions
from wsi_ai.core.timing import Stopwatch, timestamp
from wsi_ai.core.values import Recolour, SlideInfo, VectorChunk
from wsi_ai.errors import OutputError
from wsi_ai.heatmaps import VectorCanvas, write_hdf5
from wsi_ai.results import record
from wsi_ai.results.embedding_picture import write_picture
from wsi_ai.results.folder import fresh_folder, write_json
from wsi_ai.results.slide import slide_record, timing_record
from wsi_ai.tissue.overview import Overview


@dataclass(frozen=True, slots=True)
class Embedded:
    """The outcome for one slide."""

    slide: Path
    tiles: int | None
    """Number of tiles that have a vector; ``None`` where the slide was not embedded."""
    reason: str
    """The reason where it was not embedded."""
    folder: Path | None
    fresh: bool
    """False where the same question had been answered before, so that nothing was done."""
    model: str = ""
    """Name and version of the model."""


@dataclass(frozen=True, slots=True)
class EmbeddingRun:
    """What run.json contains besides the vectors' own figures."""

    path: Path
    slide: SlideInfo | None
    card: ModelCard
    folder: Path
    asked: Mapping[str, Any]
    runtime: str
    clock: Stopwatch
    started: datetime
    resumed: int

    @property
    def model(self) -> str:
        return f"{self.card.ref.name}-{self.card.ref.version}"


def known(folder: Path, question: str) -> int | None:
    """The number of vectors of an earlier answer to exactly this question, if there is one."""
    try:
        told = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if told.get("question") != question or told.get("failed") or told.get("reason"):
        return None
    tiles: int = told["tiles"]["embedded"]
    return tiles


def write_embedding(
    run: EmbeddingRun,
    look: Overview,
    recolour: Recolour | None,
    canvas: VectorCanvas,
    *,
    hdf5: bool,
) -> Embedded:
    """Write all files as ``run.folder``.  Raises OutputError, and then leaves what was there
    before."""
    plan = canvas.vectors().plan

    def chunks() -> Iterator[VectorChunk]:
        return canvas.vectors().chunks()

    tiles = sum(len(chunk.index) for chunk in chunks())
    if not tiles:
        return write_refusal(run, "no tile of the slide could be read", failed=False)
    with fresh_folder(run.folder) as aside:
        canvas.write(aside)
        if hdf5:
            write_hdf5(aside / "embeddings.h5", plan, run.card, chunks())
        write_picture(aside / "embedding.png", look.thumbnail, plan, run.card, chunks)
        counts = {"planned": len(plan), "embedded": tiles, "left_out": len(plan) - tiles}
        counts["resumed"] = run.resumed
        stain = recolour.as_dict() if recolour else None
        write_json(
            aside / "run.json",
            {**_record(run, "", failed=False), "tiles": counts, "stain_normalisation": stain},
        )
    return Embedded(run.path, tiles, "", run.folder, fresh=True, model=run.model)


def write_refusal(run: EmbeddingRun, reason: str, *, failed: bool) -> Embedded:
    """Record why there are no vectors; where ``failed``, the slide is tried again next time."""
    folder: Path | None = run.folder
    try:
        with fresh_folder(run.folder) as aside:
            write_json(aside / "run.json", _record(run, reason, failed=failed))
    except OutputError as error:
        reason, folder = f"{reason}; and {error}", None
    return Embedded(run.path, None, reason, folder, fresh=True, model=run.model)


def _record(run: EmbeddingRun, reason: str, *, failed: bool) -> dict[str, Any]:
    return {
        "software": software(),
        "question": record.digest(run.asked),
        "failed": failed,
        "flag": "none: embeddings say nothing of a slide by themselves",
        "reason": reason,
        "slide": slide_record(run.slide) if run.slide else None,
        "model": record.model_record(run.card),
        "runtime": run.runtime,
        "asked": dict(run.asked),
        "timing": timing_record(run.clock, None) if run.clock.spans else None,
        "started": timestamp(run.started),
        "finished": timestamp(datetime.now(UTC)),
        "versions": versions(),
    }
