"""What embedding leaves on the disk for a slide, in one folder that appears whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.software import software, versions
from wsi_ai.core.timing import Stopwatch, timestamp
from wsi_ai.core.values import Recolour, SlideInfo, VectorChunk
from wsi_ai.heatmaps import VectorCanvas, write_hdf5
from wsi_ai.results import record
from wsi_ai.results.embedding_picture import write_picture
from wsi_ai.results.folder import fresh_folder, write_json
from wsi_ai.results.slide import slide_record, timing_record
from wsi_ai.results.written import RECORD, read_object
from wsi_ai.tissue.overview import Overview


@dataclass(frozen=True, slots=True)
class EmbeddingRun:
    """What run.json contains besides the vectors' own figures."""

    slide: SlideInfo | None
    card: ModelCard
    folder: Path
    asked: Mapping[str, Any]
    runtime: str
    device_choice: Mapping[str, Any] | None
    """How ``--device auto`` came to the device."""
    clock: Stopwatch
    started: datetime
    resumed: int = 0
    """Planned tiles that an earlier, unfinished run had passed."""


def known_tiles(folder: Path, question: str) -> int | None:
    """Number of vectors that answer this very question already, if any."""
    try:
        written = read_object(folder / RECORD)
    except (OSError, ValueError):
        return None
    if written.get("question") != question or written.get("failed") or written.get("reason"):
        return None
    tiles: int = written["tiles"]["embedded"]
    return tiles


def vectors_stand(folder: Path) -> bool:
    """Whether any question's vectors lie there."""
    return (folder / "embeddings.zarr").is_dir()


def write_embedding(
    run: EmbeddingRun,
    look: Overview,
    recolour: Recolour | None,
    canvas: VectorCanvas,
    *,
    hdf5: bool,
) -> int:
    """Write all files as ``run.folder``; return the number of tiles with a vector.  Where that is
    0, nothing is written.  Raises OutputError, and then leaves what was there."""
    plan = canvas.vectors().plan

    def chunks() -> Iterator[VectorChunk]:
        return canvas.vectors().chunks()

    tiles = sum(len(chunk.index) for chunk in chunks())
    if not tiles:
        return 0
    with fresh_folder(run.folder) as aside:
        canvas.write(aside)
        if hdf5:
            write_hdf5(aside / "embeddings.h5", plan, run.card, chunks())
        write_picture(aside / "embedding.png", look.thumbnail, plan, run.card, chunks)
        counts = {"planned": len(plan), "embedded": tiles, "left_out": len(plan) - tiles}
        counts["resumed"] = run.resumed
        stain = recolour.as_dict() if recolour else None
        write_json(
            aside / RECORD,
            {**_record(run, "", failed=False), "tiles": counts, "stain_normalisation": stain},
        )
    return tiles


def write_refusal(run: EmbeddingRun, reason: str, *, failed: bool) -> None:
    """Say why there are no vectors; where ``failed``, the slide is tried again next time.  Raises
    OutputError."""
    with fresh_folder(run.folder) as aside:
        write_json(aside / RECORD, _record(run, reason, failed=failed))


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
        "device_choice": dict(run.device_choice) if run.device_choice else None,
        "asked": dict(run.asked),
        "timing": timing_record(run.clock, None) if run.clock.spans else None,
        "started": timestamp(run.started),
        "finished": timestamp(datetime.now(UTC)),
        "versions": versions(),
    }
