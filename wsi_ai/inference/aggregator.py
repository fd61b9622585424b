"""A slide's score from the vectors of its tiles.  Runs on the host's processor, whatever device
made the vectors: it is one pass over a few thousand rows."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, OutputSpec
from wsi_ai.core.values import SlideScores
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.scoring import activate, within_one

Numbers = NDArray[np.float32]
Network = Callable[[Numbers], Sequence[Numbers]]
"""(tiles, features) to the network's outputs: logits first, attention second.  Raises ModelError or
DeviceError."""
_TRIED = 3


class HostAggregator:
    """See ``contracts.Aggregator``.  Tried once, on vectors of zeros."""

    def __init__(self, card: ModelCard, name: str, network: Network) -> None:
        self._card, self._name, self._network = card, name, network
        self(np.zeros((_TRIED, card.output.features), np.float32))

    def __call__(self, features: Numbers) -> SlideScores:
        outputs = self._network(features)
        if len(outputs) < 2:
            raise ModelError(f"{self._name} gives one output; it must give logits and attention")
        logits, attention = (np.asarray(output, np.float32) for output in outputs[:2])
        classes, tiles = len(self._card.classes), len(features)
        if logits.size != classes or attention.size not in (tiles, classes * tiles):
            raise ModelError(
                f"{self._name} gives {logits.shape} and {attention.shape} for {tiles} tiles; the"
                f" card asks for {classes} logits and as many attentions as tiles"
            )
        scores = self._scores(logits.reshape(1, classes))
        return SlideScores(scores, self._own(attention, tiles))

    def _own(self, attention: Numbers, tiles: int) -> Numbers:
        """(tiles,): the attention.  Where each class has its own, (classes, tiles) or (tiles,
        classes), that of the operating point's class."""
        rows: Numbers = attention.reshape(-1, tiles)
        if attention.shape[-2:] == (tiles, len(rows)) and tiles != len(rows):
            rows = attention.reshape(tiles, -1).T
        own: Numbers = rows[self._card.positive_class if len(rows) > 1 else 0]
        return own

    def _scores(self, logits: Numbers) -> Numbers:
        scores: Numbers = activate(logits, self._card.activation)[0]
        clipped = within_one(scores)
        if clipped is None:
            raise ModelError(f"{self._name} gives scores outside 0..1; is output.activation right?")
        return clipped


def as_network(card: ModelCard) -> tuple[ModelCard, str]:
    """The card as if the aggregator were its network, and the file's name."""
    if card.aggregator is None:
        raise DeviceError("this model has no aggregator")
    second = card.aggregator
    ref = replace(card.ref, sha256=second.sha256)
    network = replace(card, ref=ref, weights=second.weights, format=second.format)
    return replace(network, output=OutputSpec()), second.weights.name
