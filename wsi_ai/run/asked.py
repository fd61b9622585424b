"""What an answer depends on of its slide, and where it lies meanwhile."""

import shutil
from pathlib import Path
from typing import Any

from wsi_ai.core.values import SlideInfo
from wsi_ai.heatmaps import Keep
from wsi_ai.results import record
from wsi_ai.results.folder import hidden
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.tiles.extent import Extent


def looked_at(slide: SlideInfo, extent: Extent | None) -> dict[str, Any]:
    """What an answer depends on of what was looked at, where that was not all tissue."""
    return {"looked_at": extent.record(slide.slide_id)} if extent else {}


def looked_at_folder(folder: Path, slide: SlideInfo, extent: Extent | None) -> Path:
    """Its own, beside that of all tissue."""
    if extent is None:
        return folder
    return folder.with_name(f"{folder.name}-limited-{extent.digest(slide.slide_id)[:8]}")


def slide_asked(slide: SlideInfo) -> dict[str, Any]:
    """What an answer depends on of the slide itself."""
    return {
        "slide": slide.fingerprint,
        "reader": slide.reader,
        "spacing_um": [slide.spacing.x_um, slide.spacing.y_um] if slide.spacing else None,
        **({"image": slide.image} if slide.image else {}),
    }


def keep(folder: Path, about: dict[str, Any], pipeline: Pipeline) -> Keep:
    """Where what was inferred survives a kill."""
    return Keep(hidden(folder, "kept"), record.digest(about), pipeline.source.batch_size)


def forget_kept(folder: Path) -> None:
    """The results have all of it."""
    shutil.rmtree(hidden(folder, "kept"), ignore_errors=True)
