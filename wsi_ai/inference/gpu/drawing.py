"""``cut.cu`` on a device: compiled for one plan, with the tables that stay the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size
from wsi_ai.inference.gpu import cutting
from wsi_ai.inference.gpu.cutting import CutPlan, Form, Ints, cut_plan
from wsi_ai.inference.gpu.device import B, Device, Kernel, Module, Stream
from wsi_ai.tiles.reading.schedule import StoredGrid

_THREADS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Drawing(Generic[B]):
    """Draws batches of at most ``batch`` tiles.  Use ``open_drawing``."""

    plan: CutPlan
    batch: int
    module: Module
    constants: B
    """Taps along rows, taps down columns, bits of the grey levels."""

    def draw(self, tiles: int, pool: Any, table: Any, constants: Any, out: Any) -> None:
        """One launch; ``table`` is as ``table_of`` makes it."""
        plan, cells = self.plan, self.batch * self.plan.cells_each
        along, down = accumulate(table.size for table in plan.tables)
        tables = (table[:cells], table[cells:].view(np.int32))
        fixed = (constants[:along], constants[along:down], constants[down:])
        grid = (-(-(plan.side**2) // _THREADS), self.batch)
        self.module(grid, (_THREADS,), (pool, *tables, *fixed, out, *plan.numbers(tiles)))

    @property
    def table_length(self) -> int:
        return self.batch * (self.plan.cells_each + 1)

    def table_of(self, offsets: Ints, x: Ints, y: Ints, into: Ints) -> None:
        """Of a batch: where its stored tiles lie, then its tiles' corners, in the width of one."""
        cells, each = self.batch * self.plan.cells_each, self.plan.cells_each
        into[: len(x) * each] = offsets.reshape(-1)
        corners = into[cells:].view(np.int32)
        corners[: 2 * len(x) : 2], corners[1 : 2 * len(x) : 2] = x, y


@dataclass(frozen=True, slots=True, eq=False)
class LayOut(Generic[B]):
    """From a batch of RGB tiles to a network's own input."""

    rgb: B
    """Where the tiles go first."""
    kernel: Kernel
    reads: Sequence[B]


def open_drawing(
    device: Device[B], plan: CutPlan, form: Form, batch: int, held: list[B]
) -> tuple[Drawing[B], NDArray[np.int32]]:
    """And what is to be uploaded to its ``constants``.  What is allocated is put on ``held``, for
    the caller to free.  Raises DeviceError."""
    bits = form.levels.view(np.int32).reshape(-1)
    constants = np.concatenate([*(table.reshape(-1) for table in plan.tables), bits])
    module = device.module(cutting.source(), "cut", cutting.options(form))
    held.append(device.alloc(constants.shape, np.int32))
    return Drawing(plan, batch, module, held[-1]), constants


def uploaded(
    device: Device[B], array: NDArray[Any], there: B, stream: Stream, held: list[B]
) -> None:
    """Queue a copy; the pinned memory it comes from is put on ``held`` as well."""
    held.append(device.alloc_pinned(array.shape, array.dtype))
    with device.host(held[-1], write=True) as pinned:
        pinned[...] = array
    device.copy_async(there, held[-1], stream)


def lay_out(
    device: Device[B], tiles: tuple[int, int, int, int], form: Form, held: list[B]
) -> tuple[LayOut[B] | None, list[tuple[NDArray[Any], B]]]:
    """Each tile of a batch is its own stored tile.  Nothing where RGB is wanted.  Returns what is
    to be uploaded, and where to, before it is used; see ``open_drawing``."""
    if form.is_rgb:
        return None, []
    batch, side = tiles[0], tiles[1]
    whole = Size(side, side)
    plan = cut_plan(StoredGrid(whole, whole), whole, side)
    drawing, constants = open_drawing(device, plan, form, batch, held)
    table = np.full(drawing.table_length, cutting.NOTHING, np.int64)
    nowhere = np.full((batch, plan.cells_each), cutting.NOTHING)
    nowhere[:, 0] = np.arange(batch) * plan.tile_bytes
    corner = np.zeros(batch, np.int64)
    drawing.table_of(nowhere, corner, corner, table)
    held.append(device.alloc(table.shape, np.int64))
    where = held[-1]
    held.append(device.alloc(tiles, np.uint8))

    def laid(rgb: Any, table: Any, constants: Any, out: Any) -> None:
        drawing.draw(batch, rgb, table, constants, out)

    laying = LayOut(held[-1], laid, [held[-1], where, drawing.constants])
    return laying, [(constants, drawing.constants), (table, where)]


def drawn(drawing: Drawing[B], tiles: int, pool: B) -> Kernel:
    """A kernel that reads a table, the constants and what else is named, and writes a batch."""

    def draw(table: Any, constants: Any, *rest: Any) -> None:
        drawing.draw(tiles, pool, table, constants, rest[-1])

    return draw
