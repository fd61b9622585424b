"""A slide's score from the vectors of its tiles: on the host's processor, whatever it is that made
the vectors, for it is one pass over a few thousand rows."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.contracts import Aggregator
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.scoring import activate, first_line
from wsi_ai.values import ModelCard, SlideScores

Numbers = NDArray[np.float32]
Network = Callable[[Numbers], Sequence[Numbers]]
"""(tiles, features) to what it gives: logits first, attention second.  Raises ModelError or
DeviceError."""
_TRIED = 3


class HostAggregator:
    """See ``contracts.Aggregator``.  Tried once, on vectors of nothing."""

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
        own = self._card.positive_class if attention.size > tiles else 0
        scores = self._scores(logits.reshape(1, classes))
        return SlideScores(scores, attention.reshape(-1, tiles)[own])

    def _scores(self, logits: Numbers) -> Numbers:
        scores: Numbers = activate(logits, self._card.activation)[0]
        if np.any((scores < 0) | (scores > 1)):
            raise ModelError(f"{self._name} gives scores outside 0..1; is output.activation right?")
        return scores


def open_onnx(card: ModelCard) -> Aggregator:
    """Takes (tiles, features) or (1, tiles, features), as its input says.  Raises ModelError."""
    from wsi_ai.runtimes import onnx

    second, path = _second(card)
    options = onnx.session_options()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnx.open_session(second, options, ["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    lone = len(given.shape) == 3

    def network(features: Numbers) -> Sequence[Numbers]:
        try:
            outputs: list[Numbers] = session.run(
                None, {given.name: features[None] if lone else features}
            )
        except onnx.REFUSED as error:
            raise ModelError(
                f"{path} does not take {features.shape} vectors: {first_line(error)}"
            ) from None
        return outputs

    return HostAggregator(card, path, network)


def open_torchscript(card: ModelCard) -> Aggregator:
    """Takes (1, tiles, features), or (tiles, features) where it refuses that.  Raises ModelError,
    or DeviceError where torch is not installed."""
    import torch

    from wsi_ai.runtimes.torch_forward import TORCH_ERRORS
    from wsi_ai.runtimes.torch_weights import load_whole

    second, path = _second(card)
    module = load_whole(second.weights, "torchscript")

    def run(features: Any) -> Sequence[Numbers]:
        with torch.inference_mode():
            given = module(features)
        parts = given if isinstance(given, tuple | list) else (given,)
        return [part.float().numpy() for part in parts]

    def network(features: Numbers) -> Sequence[Numbers]:
        tensor = torch.from_numpy(np.ascontiguousarray(features))
        try:
            return run(tensor[None])
        except TORCH_ERRORS:
            pass
        try:
            return run(tensor)
        except TORCH_ERRORS as error:
            raise ModelError(
                f"{path} does not take {features.shape} vectors: {first_line(error)}"
            ) from None

    return HostAggregator(card, path, network)


def _second(card: ModelCard) -> tuple[ModelCard, str]:
    """The card as if the aggregator were its network, and the file's name."""
    if card.aggregator is None:
        raise DeviceError("this model has no aggregator")
    return replace(card, weights=card.aggregator.weights), card.aggregator.weights.name
