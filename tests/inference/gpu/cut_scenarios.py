"""Random plans for ``cut.cu``, and the pixels that the host makes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.inference.gpu.host_kernel import Launch, compiled
from wsi_ai.core.cards import InputSpec, Layout
from wsi_ai.core.geometry import Size
from wsi_ai.inference.gpu.cutting import Form, cells_under, cut_plan, levels, options
from wsi_ai.inference.gpu.slots import Slots, needs_of, offsets
from wsi_ai.inference.scoring import prepare, scale_and_shift
from wsi_ai.testing.stand_ins import MEAN_CARD
from wsi_ai.tiles.reading.schedule import Placement, StoredGrid
from wsi_ai.tiles.reading.shrink import shrinker

Image = NDArray[np.uint8]
Make = Callable[[Sequence[str], int], Launch]
"""The kernel, compiled with options; the number draws the order of its threads."""
UNTOUCHED = 0xA5
PADDING = 2
"""Tiles of a batch that are not there."""


@dataclass(frozen=True, eq=False)
class Case:
    grid: StoredGrid
    whole: Image
    """All stored tiles side by side, with what those at the rim are filled up with."""
    blank: frozenset[int]
    place: Placement
    side: int
    form: Form
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def stored(self, cell: int) -> Image:
        tile = self.grid.tile
        row, col = divmod(cell, self.grid.across)
        y, x = row * tile.height, col * tile.width
        return self.whole[y : y + tile.height, x : x + tile.width]


def draw_case(rng: np.random.Generator) -> Case:
    """Rims, negative corners, blank tiles, boxes that are not square, every form."""
    tile = Size(int(rng.integers(3, 40)) * 8, int(rng.integers(3, 40)) * 8)
    size = Size(*(int(rng.integers(n // 2, 4 * n)) for n in (tile.width, tile.height)))
    grid = StoredGrid(size, tile)
    across, down = grid.across, -(-size.height // tile.height)
    coarse = (down * tile.height // 8, across * tile.width // 8, 3)
    seeds = rng.integers(0, 256, coarse, dtype=np.uint8)
    smooth = cv2.resize(
        seeds, (across * tile.width, down * tile.height), interpolation=cv2.INTER_CUBIC
    )
    whole = np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)
    blank = rng.choice(across * down, size=(across * down) // 5, replace=False)
    side = int(rng.integers(8, 65))
    mean, std = tuple(rng.uniform(0.3, 0.7, 3)), tuple(rng.uniform(0.1, 0.4, 3))
    return Case(
        grid, whole, frozenset(blank.tolist()), _place(rng, size, side), side,
        _form(rng, mean, std), mean, std,
    )  # fmt: skip


def _place(rng: np.random.Generator, size: Size, side: int) -> Placement:
    ratios = (1.0, float(rng.integers(2, 6)), rng.uniform(1.25, 4), rng.uniform(0.5, 1.25))
    ratio = ratios[rng.integers(0, 4)]
    skew = rng.uniform(0.6, 1.6) if rng.random() < 0.3 else 1.0
    read = Size(max(2, round(side * ratio)), max(2, round(side * ratio * skew)))
    count = int(rng.integers(1, 9))
    x = rng.integers(-read.width, size.width + read.width // 2, count)
    y = rng.integers(-read.height, size.height + read.height // 2, count)
    return Placement(x, y, read)


def _form(rng: np.random.Generator, mean: Any, std: Any) -> Form:
    planes, dtype = (
        bool(rng.integers(2)),
        ("uint8", "float16", "bfloat16", "float32")[rng.integers(4)],
    )
    if dtype == "uint8":
        return Form(dtype, planes)
    return Form(dtype, planes, levels(*scale_and_shift(_card(mean, std)), dtype))


def _card(mean: Any, std: Any) -> Any:
    return replace(MEAN_CARD, input=InputSpec(Layout.NCHW, "float32", mean, std))


def on_host(library: Any) -> Make:
    """By a library of ``host_kernel.build``, the threads in another order each time."""
    return lambda given, seed: compiled("", given, library=library, seed=seed)


def by_kernel(case: Case, make: Make, seed: int) -> NDArray[Any]:
    """What one launch writes; the pool holds rubbish where nothing was decoded."""
    plan, count = cut_plan(case.grid, case.place.size, case.side), len(case.place)
    needs = needs_of(case.grid, case.place, count)
    under = cells_under(case.grid, case.place)
    blank = np.zeros(needs.level, np.bool_)
    blank[list(case.blank)] = True
    slots = Slots(needs.most_at_once + 3, needs)
    pool = np.full((needs.most_at_once + 3, plan.tile_bytes), UNTOUCHED, np.uint8)
    taken = slots.take(0)
    for cell, slot in zip(taken.cells.tolist(), taken.slots.tolist(), strict=True):
        if cell not in case.blank:
            pool[slot] = case.stored(cell).reshape(-1)
    corners = np.stack([case.place.x, case.place.y], 1).astype(np.int32)
    out = np.full(
        case.form.shape((count + PADDING, case.side, case.side, 3)), UNTOUCHED,
        f"u{case.form.bytes_each}",
    )  # fmt: skip
    at = offsets(plan, under, slots, blank)
    kernel = make(options(case.form), seed)
    args = (pool, at, corners, *plan.tables, case.form.levels, out, *plan.numbers(count))
    kernel((-(-(case.side**2) // 256), len(out)), (256,), args)
    return out


def by_host(case: Case) -> NDArray[Any]:
    """The same bits, by the host's shrinking and preparing."""
    level = case.whole[: case.grid.size.height, : case.grid.size.width].copy()
    for cell in case.blank:
        row, col = divmod(cell, case.grid.across)
        y, x = row * case.grid.tile.height, col * case.grid.tile.width
        level[y : y + case.grid.tile.height, x : x + case.grid.tile.width] = 255
    corners = zip(case.place.x.tolist(), case.place.y.tolist(), strict=True)
    tiles = [shrunk(painted(level, x, y, case.place.size), case.side) for x, y in corners]
    black = [np.zeros((case.side, case.side, 3), np.uint8)] * PADDING
    return as_form(np.stack([*tiles, *black]), case)


def as_form(tiles: Image, case: Case) -> NDArray[Any]:
    planes: NDArray[Any] = tiles.transpose(0, 3, 1, 2)
    if case.form.dtype != "uint8":
        card = _card(case.mean, case.std)
        values = prepare(tiles, replace(card, tile=replace(card.tile, size_px=case.side)))
        planes = _bits(np.asarray(values, np.float32), case.form.dtype)
    laid = planes if case.form.planes_first else planes.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(laid)


def _bits(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    if dtype == "bfloat16":
        import ml_dtypes

        return values.astype(ml_dtypes.bfloat16).view(np.uint16)
    rounded = values.astype(dtype)
    return rounded.view(f"u{rounded.itemsize}")


def painted(level: Image, x: int, y: int, size: Size) -> Image:
    """What lies there, white outside: the plain definition."""
    out = np.full((size.height, size.width, 3), 255, np.uint8)
    height, width = level.shape[:2]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + size.width, width), min(y + size.height, height)
    if left < right and top < bottom:
        out[top - y : bottom - y, left - x : right - x] = level[top:bottom, left:right]
    return out


def shrunk(pixels: Image, side: int) -> Image:
    read, wanted = Size(pixels.shape[1], pixels.shape[0]), Size(side, side)
    if read == wanted:
        return pixels
    out = np.empty((side, side, 3), np.uint8)
    shrinker(read, wanted)(pixels, out)
    return out


def differing(make: Make, cases: int, seed: int = 0, *, stop: bool = False) -> list[int]:
    """Which of so many random plans the kernel draws otherwise than the host."""
    rng, found = np.random.default_rng(seed), list[int]()
    for number in range(cases):
        case = draw_case(rng)
        if not np.array_equal(by_kernel(case, make, number + 1), by_host(case)):
            found.append(number)
            if stop:
                break
    return found
