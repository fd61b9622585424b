"""Some pixels of a plan, from all over it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Slide
from wsi_ai.core.values import Recolour, TilePlan
from wsi_ai.tiles.reading.regions import RegionTiles
from wsi_ai.tiles.stain import find_stain

_TILES, _BATCH, _THREADS, _EVERY_PX = 64, 8, 2, 2


def sample_pixels(slide: Slide, plan: TilePlan) -> NDArray[np.uint8]:
    """uint8 RGB (n, 3): every second pixel along either side of up to 64 of the plan's tiles, as a
    model would get them; always the same ones.  A tile that cannot be read is left out."""
    chosen = np.linspace(0, len(plan) - 1, min(_TILES, len(plan))).astype(int)
    part = replace(plan, cells=plan.cells[chosen])
    batches = RegionTiles(_BATCH, _THREADS)(slide, part, 0)
    tiles = [np.asarray(batch.pixels)[:, ::_EVERY_PX, ::_EVERY_PX] for batch in batches]
    return np.concatenate([np.empty((0, 3), np.uint8), *(tile.reshape(-1, 3) for tile in tiles)])


def recolour_for(slide: Slide, plan: TilePlan, card: ModelCard) -> Recolour | None:
    """The change of colours that the card asks for on this slide.  Raises StainUnclear."""
    target = card.input.stain
    return None if target is None else find_stain(target, sample_pixels(slide, plan))
