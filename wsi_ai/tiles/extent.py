"""Looking at less than the tissue that was found: regions, a mask, a share of tissue, a stride.

What is left out stays planned and unseen: it counts against the slide as a lost tile does.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, ReadLike, Task
from wsi_ai.core.values import Mask, SlideInfo, TilePlan
from wsi_ai.errors import InputError, SlideError
from wsi_ai.tiles.planning import Likely, plan_for, tissue_shares
from wsi_ai.tissue.given_mask import given_mask
from wsi_ai.tissue.regions import Regions, file_digest, read_regions

_HAIR_PX = 1e-3
_DENSEST = 16
"""Tiles that cover a point along a side, at most."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a person asked to be looked at.  Every path is a file, or a folder with one for each
    slide, by the slide's name."""

    region: Path | None = None
    exclude: Path | None = None
    tissue: Path | None = None
    min_tissue: float = 0.0
    """The least share of tissue in a tile."""
    stride_px: int | None = None

    def __post_init__(self) -> None:
        """A path may be given as text.  Raises ValueError."""
        for name in ("region", "exclude", "tissue"):
            if isinstance(given := getattr(self, name), str):
                object.__setattr__(self, name, Path(given))
        if not 0 <= self.min_tissue <= 1:
            raise ValueError(f"a share of tissue lies in 0..1, got {self.min_tissue}")
        if self.stride_px is not None and self.stride_px < 1:
            raise ValueError(f"a stride is 1 px or more, got {self.stride_px}")

    def digest(self, slide_id: str) -> str:
        """Names the question that these words make of a slide."""
        told = json.dumps(self.record(slide_id), sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def record(self, slide_id: str) -> dict[str, Any]:
        """What the answer for a slide depends on; what was not asked is not there."""
        files = {"region": self.region, "exclude": self.exclude, "tissue": self.tissue}
        told = {name: file_digest(_file(place, slide_id)) for name, place in files.items() if place}
        numbers = {"min_tissue": self.min_tissue, "stride_px": self.stride_px}
        return {**told, **{name: value for name, value in numbers.items() if value}}

    def plan(
        self, card: ModelCard, slide: SlideInfo, found: Mask, likely: Likely | None
    ) -> TilePlan:
        """The tiles to look at, in their order, and those that are left out.  Raises SlideError
        where there is nothing to look at."""
        whole = plan_for(card, slide, found, likely)
        given = self._given(slide, found)
        chosen, clauses = whole.planned, list[str]()
        if given is not None:
            chosen = plan_for(card, slide, given).planned
            clauses.append("assessed inside the given tissue only")
        for regions in self._regions(slide):
            chosen = chosen & _inside(whole, regions)
            clauses.append(regions.described())
        if self.min_tissue:
            tissue = found if given is None else given
            chosen = chosen & (tissue_shares(whole, tissue) >= self.min_tissue)
            clauses.append(f"tiles with less than {self.min_tissue:.0%} tissue were not looked at")
        if (every := self.every(card)) > 1:
            chosen = chosen & _every(whole, every)
            clauses.append(f"one tile in {every * every} was looked at")
        if not chosen.any():
            raise SlideError(f"no tissue is left to look at: {', '.join(clauses)}")
        return self._narrowed(card, whole, chosen, ", ".join(clauses), given)

    def every(self, card: ModelCard) -> int:
        """Of how many cells along a side one is looked at."""
        return max(1, (self.stride_px or 0) // card.tile.stride_px)

    def _narrowed(
        self, card: ModelCard, whole: TilePlan, chosen: Mask, clause: str, given: Mask | None
    ) -> TilePlan:
        found = whole.tissue
        if given is not None and found is not None:
            whole = plan_for(card, whole.slide, found | given)
        taken = chosen[tuple(whole.cells.T)]
        left_out = np.zeros(whole.grid, np.bool_)
        left_out[tuple(whole.cells[~taken].T)] = True
        regions = self.region is not None or self.exclude is not None
        return dataclasses.replace(
            whole,
            cells=whole.cells[taken],
            unseen=np.argwhere(left_out).astype(np.int32),
            limited=clause if regions or left_out.any() else "",
        )

    def _given(self, slide: SlideInfo, found: Mask) -> Mask | None:
        if self.tissue is None:
            return None
        rows, cols = found.shape
        return given_mask(_file(self.tissue, slide.slide_id), slide, (rows, cols))

    def _regions(self, slide: SlideInfo) -> list[Regions]:
        named: Mapping[Path, bool] = {
            place: excluded
            for place, excluded in ((self.region, False), (self.exclude, True))
            if place is not None
        }
        return [
            read_regions(_file(place, slide.slide_id), slide, all_excluded=excluded)
            for place, excluded in named.items()
        ]


def check_extent(extent: Extent | None, slides: Sequence[Path]) -> None:
    """A file is of one slide.  Raises InputError where there are several, or nothing is there."""
    places = [extent.region, extent.exclude, extent.tissue] if extent else []
    for place in (place for place in places if place is not None):
        if not place.exists():
            raise InputError(f"there is no such file or folder: {place}")
        if not place.is_dir() and len(set(slides)) > 1:
            raise InputError(
                f"{place.name} is of one slide, and there are {len(set(slides))}: name a folder"
                " with a file for each, by the slide's name"
            )


def strided(card: ModelCard, stride_px: int | None) -> ModelCard:
    """The card, where every tile is to be looked at more densely than it says; a multiple of its
    own stride leaves tiles out, see ``Extent.every``.  Raises InputError."""
    own, tile = card.tile.stride_px, card.tile
    if stride_px is None or stride_px % own == 0:
        return card
    if stride_px > own:
        raise InputError(f"--stride {stride_px}: above the model's {own} px it is a multiple of it")
    fixed = card.task in (Task.SEGMENTATION, Task.DETECTION) or tile.parity is not ReadLike.NONE
    if fixed or tile.lead_px:
        raise InputError(f"--stride {stride_px}: the tiles of {card.ref.name} lie {own} px apart")
    if stride_px * _DENSEST < tile.size_px:
        least = -(-tile.size_px // _DENSEST)
        raise InputError(f"--stride {stride_px}: the least for tiles of this model is {least} px")
    return dataclasses.replace(card, tile=dataclasses.replace(tile, stride_px=stride_px))


def _file(place: Path, slide_id: str) -> Path:
    """Never another slide's, nor none: a file that is not there cannot be read."""
    if not place.is_dir():
        return place
    png = place / f"{slide_id}.png"
    return png if png.is_file() else place / f"{slide_id}.geojson"


def _inside(plan: TilePlan, regions: Regions) -> Mask:
    """(rows, cols): cells that touch what is included, and whose tiles do not touch what is
    excluded."""
    rows, cols = np.mgrid[: plan.grid[0], : plan.grid[1]]
    left, top = cols * plan.step.x, rows * plan.step.y
    inside = np.ones(plan.grid, np.bool_)
    if regions.included:
        cells = _boxes(left, top, plan.step.x, plan.step.y)
        inside = _touching(regions.included, cells)
    if regions.excluded:
        lead, share = (
            plan.spec.lead_px / plan.spec.stride_px,
            plan.spec.size_px / plan.spec.stride_px,
        )
        x, y = left - lead * plan.step.x, top - lead * plan.step.y
        tiles = _boxes(x, y, share * plan.step.x, share * plan.step.y)
        inside = inside & ~_touching(regions.excluded, tiles)
    return inside


def _boxes(
    left: NDArray[np.float64], top: NDArray[np.float64], width: float, height: float
) -> NDArray[Any]:
    """Narrower by a hair, so that neighbours share no edge."""
    hair = _HAIR_PX
    boxes = shapely.box(left + hair, top + hair, left + width - hair, top + height - hair)
    return np.asarray(boxes, object)


def _touching(shapes: tuple[shapely.Geometry, ...], boxes: NDArray[Any]) -> Mask:
    """Which boxes share an area with a shape; an edge that both have is none."""
    tree = shapely.STRtree(boxes.ravel())
    _, places = tree.query(np.array(shapes, object), predicate="intersects")
    found = np.zeros(boxes.size, np.bool_)
    found[places] = True
    return found.reshape(boxes.shape)


def _every(plan: TilePlan, nth: int) -> Mask:
    found = np.zeros(plan.grid, np.bool_)
    found[::nth, ::nth] = True
    return found
