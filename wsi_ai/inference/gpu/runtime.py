"""A ring as a ``contracts.Runtime``."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Precision
from wsi_ai.core.contracts import Copies, TileSource
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import OutOfDeviceMemory
from wsi_ai.inference.gpu.copies import open_copies
from wsi_ai.inference.gpu.cutting import Form
from wsi_ai.inference.gpu.device import B
from wsi_ai.inference.gpu.ring import Ring, RingShape
from wsi_ai.inference.scoring import batch_for, output_shape, scores_over_views
from wsi_ai.inference.trial import Allowed, Batches, check_agreement, trial_tiles
from wsi_ai.inference.views import views_of
from wsi_ai.tiles.reading import HostTiles

log = logging.getLogger(__name__)
BATCH, _PIXELS = 128, 1 << 24
"""Not measured on a device yet: ``benchmarks/gpu.sh`` tries others."""


Reading = Callable[[HostTiles], TileSource]
"""What reads tiles on the device, and by the given source what it cannot."""


def usual_batch(card: ModelCard) -> int:
    """To begin with, where none is asked for."""
    return card.input.batch or batch_for(card, BATCH, _PIXELS)


def ring_shape(card: ModelCard, batch: int, form: Form | None = None) -> RingShape:
    """Outputs of several views stand side by side: (batch, views, ...).  Tiles are RGB where no
    other form is given."""
    side, views = card.tile.size_px, len(views_of(card.input.tta))
    lead = (batch,) if views == 1 else (batch, views)
    return RingShape((batch, side, side, 3), (*lead, *output_shape(card)), form=form or Form())


class RingRuntime(Generic[B]):
    """Runs batches of one fixed shape through a ring."""

    def __init__(
        self,
        card: ModelCard,
        description: str,
        ring: Ring[B],
        on_device: Reading = lambda host: host,
    ) -> None:
        self.card = card
        self._on_device = on_device
        self.description = description
        self.batch_size = ring.shape.tiles[0]
        self._ring = ring

    def source(self, threads: int) -> TileSource:
        """See ``contracts.RuntimeWithSource``."""
        shared = self._ring.device.alloc_shared
        return self._on_device(HostTiles(self.batch_size, threads, shared))

    def copies(self) -> AbstractContextManager[Copies]:
        """See ``contracts.RuntimeOnDevice``."""
        return open_copies(self._ring.device, self._ring.shape)

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """See ``contracts.Runtime.predict``."""
        for raw in self._ring.predict(batches):
            several = len(views_of(self.card.input.tta)) > 1
            outputs = np.moveaxis(raw.scores, 1, 0) if several else [raw.scores]
            scores = scores_over_views(outputs, len(raw.index), self.card)
            yield Predictions(raw.slide_id, raw.index, scores)


def open_fitting(
    build: Callable[[int], RingRuntime[B]], batch: int, precision: Precision
) -> RingRuntime[B]:
    """The runtime with the largest batch that fits, from ``batch`` on halved as often as needed,
    and tried once.

    Raises OutOfDeviceMemory where not even one tile fits.
    """
    while True:
        try:
            runtime = build(batch)
            try_once(runtime, precision)
        except OutOfDeviceMemory:
            if batch == 1:
                raise
            log.warning("out of device memory with %d tiles at once: trying %d", batch, batch // 2)
            batch //= 2
        else:
            return runtime


def try_once(runtime: RingRuntime[B], precision: Precision) -> None:
    """A few batches, held to the card and to each other: see ``inference.trial``."""
    card, count = runtime.card, runtime.batch_size

    def network(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch = TileBatch("", np.arange(len(tiles)), tiles)
        return np.concatenate([made.scores for made in runtime.predict([batch])])

    allowed = Allowed(card.tolerance.of(precision), vectors=card.gives_vectors)
    tiles = trial_tiles(card.tile.size_px)
    check_agreement(card.weights.name, network, tiles, Batches(count, count), allowed)
