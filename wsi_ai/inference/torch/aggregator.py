"""Aggregators in TorchScript, on the host's processor."""

from collections.abc import Sequence

import numpy as np
import torch

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator
from wsi_ai.errors import ModelError, first_line
from wsi_ai.inference.aggregator import HostAggregator, Numbers, as_network
from wsi_ai.inference.sealed import sealed_weights
from wsi_ai.inference.torch.forward import TORCH_ERRORS
from wsi_ai.inference.torch.pickles import WeightsFile
from wsi_ai.inference.torch.weights import load_whole


def open_aggregator(card: ModelCard) -> Aggregator:
    """Takes (1, tiles, features), or (tiles, features) where it refuses that.  Raises ModelError,
    or DeviceError where torch is not installed."""
    second, path = as_network(card)
    module = load_whole(WeightsFile(path, sealed_weights(second)), "torchscript")

    def run(features: torch.Tensor) -> Sequence[Numbers]:
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
