"""A ring as a ``contracts.Runtime``."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Generic

import numpy as np

from wsi_ai.contracts import TileSource
from wsi_ai.errors import OutOfDeviceMemory
from wsi_ai.gpu.device import B
from wsi_ai.gpu.ring import Ring, RingShape
from wsi_ai.reading import HostTiles
from wsi_ai.scoring import scores_of
from wsi_ai.values import ModelCard, Predictions, TileBatch

log = logging.getLogger(__name__)
BATCH = 128
"""Not measured on a device yet: ``benchmarks/gpu.sh`` tries others."""


Reading = Callable[[HostTiles], TileSource]
"""What reads tiles on the device, and by the given source what it cannot."""


def ring_shape(card: ModelCard, batch: int) -> RingShape:
    side = card.tile.size_px
    return RingShape((batch, side, side, 3), (batch, len(card.classes)))


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
        """See ``contracts.FedRuntime``."""
        shared = self._ring.device.alloc_shared
        return self._on_device(HostTiles(self.batch_size, threads, shared))

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """See ``contracts.Runtime.predict``."""
        for raw in self._ring.predict(batches):
            scores = scores_of(raw.scores, len(raw.index), self.card)
            yield Predictions(raw.slide_id, raw.index, scores)


def open_fitting(build: Callable[[int], RingRuntime[B]], batch: int | None) -> RingRuntime[B]:
    """The runtime with the largest batch that fits, halved as often as needed, and tried once.

    Raises OutOfDeviceMemory where not even one tile fits.
    """
    batch = batch or BATCH
    while True:
        try:
            runtime = build(batch)
            try_once(runtime)
        except OutOfDeviceMemory:
            if batch == 1:
                raise
            log.warning("out of device memory with %d tiles at once: trying %d", batch, batch // 2)
            batch //= 2
        else:
            return runtime


def try_once(runtime: RingRuntime[B]) -> None:
    """One batch of white tiles, held to the card."""
    side, count = runtime.card.tile.size_px, runtime.batch_size
    white = np.full((count, side, side, 3), 255, np.uint8)
    for _ in runtime.predict([TileBatch("", np.arange(count), white)]):
        pass
