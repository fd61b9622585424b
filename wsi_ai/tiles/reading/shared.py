"""One walk over a slide's tiles for all the models that want the same ones."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import numpy as np

from wsi_ai.core.contracts import Slide, TileSource
from wsi_ai.core.values import TileBatch, TilePlan
from wsi_ai.errors import WsiAiError

Walk = Callable[[int], Iterator[TileBatch]]
"""Reads the plan from a tile on."""


class SharedTiles:
    """A ``contracts.TileSource`` for models that take turns: equal plans that are opened before the
    first batch of one is taken are read once for all of them.  Used by one thread at a time.

    Where several share, each gets batches to keep that it must not write to.
    """

    def __init__(self, source: TileSource) -> None:
        self._source = source
        self._waiting: list[tuple[Slide, TilePlan, _Pass]] = []

    @property
    def batch_size(self) -> int:
        return self._source.batch_size

    @property
    def description(self) -> str:
        return self._source.description

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        """See ``contracts.TileSource``."""
        self._waiting = [entry for entry in self._waiting if not entry[2].begun]
        for other_slide, other, shared in self._waiting:
            if other_slide is slide and _alike(other, plan) and shared.suits(start):
                return shared.branch(start)
        shared = _Pass(lambda first: self._source(slide, plan, first), self.batch_size)
        self._waiting.append((slide, plan, shared))
        return shared.branch(start)


def _alike(a: TilePlan, b: TilePlan) -> bool:
    """The same tiles in the same order."""
    one, two = ((p.spec, p.level, p.read_px, p.grid, p.step) for p in (a, b))
    return one == two and np.array_equal(a.cells, b.cells)


class _Pass:
    def __init__(self, walk: Walk, batch_size: int) -> None:
        self._walk, self._batch_size = walk, batch_size
        self._branches: list[Branch] = []
        self._batches: Iterator[TileBatch] | None = None
        self._at = 0
        self._failed: WsiAiError | None = None

    @property
    def begun(self) -> bool:
        return self._batches is not None

    def suits(self, start: int) -> bool:
        """Whether a batch begins there."""
        return all((start - other.start) % self._batch_size == 0 for other in self._branches)

    def branch(self, start: int) -> "Branch":
        branch = Branch(self, start)
        self._branches.append(branch)
        return branch

    def drop(self, branch: "Branch") -> None:
        """The walk ends with its last branch, and its threads with it."""
        if branch in self._branches:
            self._branches.remove(branch)
        if not self._branches and isinstance(self._batches, Generator):
            self._batches.close()

    def pull(self) -> None:
        """Read the next batch for all that want it.  Raises StopIteration, or what the walk raises:
        then every branch does."""
        if self._failed is not None:
            raise self._failed
        if self._batches is None:
            self._at = min(branch.start for branch in self._branches)
            self._batches = self._walk(self._at)
        try:
            batch = next(self._batches)
        except WsiAiError as error:
            self._failed = error
            raise
        taking = [branch for branch in self._branches if branch.start <= self._at]
        self._at += self._batch_size
        if len(self._branches) > 1:
            batch = replace(batch, pixels=np.array(np.from_dlpack(batch.pixels)))
        for branch in taking:
            branch.waiting.append(batch)


class Branch:
    """One model's batches, from the tile ``start`` on."""

    def __init__(self, shared: _Pass, start: int) -> None:
        self._shared, self.start = shared, start
        self.waiting: deque[TileBatch] = deque()

    def __iter__(self) -> "Branch":
        return self

    def __next__(self) -> TileBatch:
        while not self.waiting:
            self._shared.pull()
        return self.waiting.popleft()

    def close(self) -> None:
        """Nothing is kept for it any more."""
        self.waiting.clear()
        self._shared.drop(self)
