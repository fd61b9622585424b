"""Does every runtime here say the same of a model's golden tiles?"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.registry import devices, open_runtime
from wsi_ai.inference.scoring import tile_scores
from wsi_ai.models.golden import (
    Differences,
    Golden,
    compare,
    load_golden,
    write_scores,
    write_sheet,
)
from wsi_ai.models.manifest import load_card, load_variants
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.planning import plan_for
from wsi_ai.tiles.reading import RegionTiles
from wsi_ai.tiles.reading.sample import recolour_for
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.thumbnail import take_thumbnail

_CANDIDATES = 256
"""Tiles of each slide that are scored, to choose golden ones from."""


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How one runtime did, or why it could not."""

    format: str
    runtime: str
    """Its description; the device and precision asked for where it did not open."""
    tolerance: float
    differences: Differences | None
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """No flag changed, and no score by more than the card allows."""
        found = self.differences
        return found is not None and not found.flag_changes and found.largest <= self.tolerance


def verify(model: Path, requests: Sequence[RuntimeRequest] = ()) -> Iterator[GoldenResult]:
    """Every variant of the model on every device and precision that is installed here, or the
    ``requests``; those that cannot be had say why.  Raises ModelError."""
    cards = load_variants(model)
    golden = required_golden(cards[0])
    for card in cards:
        for request in requests or requests_for(card):
            yield held(card, golden, request)


def required_golden(card: ModelCard) -> Golden:
    """Raises ModelError where the model has none."""
    golden = load_golden(card)
    if golden is None:
        raise ModelError("no golden tiles; make them: wsi-ai models golden MODEL SLIDE")
    return golden


def hold_to_golden(runtime: Runtime, precision: Precision) -> None:
    """Raises DeviceError where the runtime changes a flag of the golden tiles, or where vectors lie
    farther from theirs than the card allows; nothing where there are no golden tiles, or where it
    is the runtime that made them."""
    golden = load_golden(runtime.card)
    if golden is None or golden.made_by == runtime.description:
        return
    found = compare(golden, scores(runtime, golden.tiles), runtime.card)
    if found.flag_changes:
        raise DeviceError(
            f"{runtime.description} changes the flag of {found.flag_changes} of"
            f" {len(golden.tiles)} golden tiles of this model; give another --device or"
            " --precision"
        )
    if runtime.card.gives_vectors and found.largest > runtime.card.tolerance.of(precision):
        raise DeviceError(
            f"{runtime.description} gives vectors {found.largest:.1e} away from the golden ones;"
            " give another --device or --precision"
        )


def make_golden(model: Path, slides: Iterable[Path], count: int) -> Path:
    """Choose tiles from slides, score them in fp32 on the host, and store both with the model.

    Half are spread over all scores, half are those nearest to the threshold, where a flag would
    change first; where there are no scores all are spread over the tissue.
    """
    card = load_card(model)
    runtime = open_runtime(card, RuntimeRequest("cpu"))
    found = np.concatenate([tissue_tiles(path, card) for path in slides])
    if len(found) < count:
        raise ModelError(f"only {len(found)} tiles with tissue; give more slides")
    chosen = found[_choice(scores(runtime, found), card, count)]
    stored = write_sheet(card, chosen)
    return write_scores(card, Golden(stored, scores(runtime, stored), runtime.description))


def scores(runtime: Runtime, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(tiles, classes) or (tiles, features), in batches as the runtime wants them."""
    size = runtime.batch_size
    batches = (
        TileBatch("golden", np.arange(len(part)), part)
        for part in (tiles[start : start + size] for start in range(0, len(tiles), size))
    )
    found = [tile_scores(predicted.scores, runtime.card) for predicted in runtime.predict(batches)]
    return np.concatenate(found)


def requests_for(card: ModelCard) -> list[RuntimeRequest]:
    """Every device here in every precision that the weights may run in."""
    cast = [p for p in Precision if p is not Precision.INT8]
    quantised = card.precision is Precision.INT8
    precisions = [Precision.INT8] if quantised else cast
    return [RuntimeRequest(device, p) for device in devices(card) for p in precisions]


def held(card: ModelCard, golden: Golden, request: RuntimeRequest) -> GoldenResult:
    """What one runtime makes of the golden tiles."""
    tolerance = card.tolerance.of(request.precision)
    try:
        runtime = open_runtime(card, request)
        found = compare(golden, scores(runtime, golden.tiles), card)
    except (DeviceError, ModelError) as error:
        asked = f"{request.device}/{request.precision}"
        return GoldenResult(card.format, asked, tolerance, None, str(error))
    return GoldenResult(card.format, runtime.description, tolerance, found)


def tissue_tiles(path: Path, card: ModelCard) -> NDArray[np.uint8]:
    """A few hundred tiles of one slide, spread over its tissue, in the colours that the network is
    to see: (n, size, size, 3).  Raises StainUnclear."""
    with open_slide(path) as slide:
        plan = plan_for(card, slide.info, find_tissue(slide.info, take_thumbnail(slide)))
        some = replace(plan, cells=plan.cells[:: max(1, len(plan) // _CANDIDATES)])
        source = RegionTiles(batch_size=32, threads=2)(slide, some, 0)
        recolour = recolour_for(slide, plan, card)
        kept = [np.array(batch.pixels) for batch in source]
        if recolour is not None:
            kept = [recolour(pixels, np) for pixels in kept]
    side = card.tile.size_px
    return np.concatenate([np.empty((0, side, side, 3), np.uint8), *kept])


def _choice(found: NDArray[np.float32], card: ModelCard, count: int) -> NDArray[np.intp]:
    if card.gives_vectors:
        return np.linspace(0, len(found) - 1, count).round().astype(np.intp)
    score = found[:, card.positive_class]
    order = np.argsort(score, kind="stable")
    spread = order[np.linspace(0, len(order) - 1, count - count // 2).round().astype(int)]
    nearest = np.argsort(np.abs(score - card.point.threshold), kind="stable")
    near = nearest[~np.isin(nearest, spread)][: count - len(spread)]
    return np.concatenate([spread, near])
