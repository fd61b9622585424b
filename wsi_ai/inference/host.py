"""What all runtimes on the host's processor do around their network."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Precision
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.inference.scoring import batch_for, output_shape, scores_over_views
from wsi_ai.inference.trial import Batches, hold_to_itself
from wsi_ai.inference.views import views_of

BATCH, _PIXELS = 32, 1 << 20
Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 RGB (batch, height, width, 3), always of the same shape, to outputs (batch, ...).  Raises
ModelError or DeviceError."""


def usual_batch(card: ModelCard) -> int:
    """The batch size where none is asked for."""
    return batch_for(card, BATCH, _PIXELS)


@dataclass(frozen=True, slots=True)
class Trial:
    """How a runtime is tried."""

    precision: Precision = Precision.FP32
    batches: Batches | None = None
    """Of one shape, a whole batch, where that is ``None``, as a network of one shape needs it."""


class HostRuntime:
    """Runs batches of one fixed shape: a short batch is padded, so that a tile's score does not
    depend on how many others there were."""

    def __init__(
        self,
        card: ModelCard,
        description: str,
        network: Network,
        batch_size: int | None,
        trial: Trial = Trial(),
    ) -> None:
        """Tries a few tiles against the card, and the network against itself.  Raises ModelError
        or DeviceError."""
        self.card = card
        self.description = description
        self.batch_size = batch_size or usual_batch(card)
        self._network = network
        self._at_once = card.input.batch or self.batch_size
        self._views = views_of(card.input.tta)
        batches = trial.batches or Batches(self._at_once, self._at_once)
        side, count = card.tile.size_px, batches.alone
        self._scored(np.full((count, side, side, 3), 255, np.uint8), count)
        hold_to_itself(card, trial.precision, network, batches)

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """See ``contracts.Runtime.predict``."""
        for batch in batches:
            pixels = np.asarray(np.from_dlpack(batch.pixels), np.uint8)
            if batch.recolour is not None and len(pixels):
                pixels = batch.recolour(pixels, np)
            yield Predictions(batch.slide_id, batch.index, self._scores(pixels))

    def _scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        count = len(pixels)
        if count == 0:
            return np.empty((0, *output_shape(self.card)), np.float32)
        if missing := -count % self._at_once:
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
        return self._scored(pixels, count)

    def _scored(self, pixels: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
        """The scores of the first ``count`` tiles."""
        shown = (np.ascontiguousarray(view.of(pixels, np)) for view in self._views)
        return scores_over_views(map(self._outputs, shown), count, self.card)

    def _outputs(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Outputs for all tiles, running the network on the number that it takes, again and
        again."""
        starts = range(0, len(tiles), self._at_once)
        parts = [self._network(tiles[start : start + self._at_once]) for start in starts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
