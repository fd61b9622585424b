"""Aggregators in ONNX, by ONNX Runtime on the host's processor."""

from collections.abc import Sequence

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator
from wsi_ai.core.environment import threads
from wsi_ai.errors import ModelError
from wsi_ai.inference.aggregator import HostAggregator, Numbers, as_network
from wsi_ai.inference.onnx import runtime as onnx


def open_aggregator(card: ModelCard) -> Aggregator:
    """Takes (tiles, features) or (1, tiles, features), as its input says.  Raises ModelError."""
    second, path = as_network(card)
    options = onnx.session_options()
    options.intra_op_num_threads = threads()
    session = onnx.open_session(second, options, ["CPUExecutionProvider"], outputs=2)
    given = session.get_inputs()[0]
    lone = len(given.shape) == 3

    def network(features: Numbers) -> Sequence[Numbers]:
        try:
            outputs: list[Numbers] = session.run(
                None, {given.name: features[None] if lone else features}
            )
        except onnx.REFUSED as error:
            raise ModelError(
                f"{path} does not take {features.shape} vectors: {onnx.error_line(error)}"
            ) from None
        return outputs

    return HostAggregator(card, path, network)
