"""How much arithmetic one tile costs a network."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from wsi_ai.core.cards import ModelCard

Shape = tuple[int, ...]
_UNCOUNTED = frozenset({"Attention", "Einsum", "GRU", "If", "LSTM", "Loop", "RNN", "Scan"})


def operations(card: ModelCard) -> float | None:
    """Multiplications and additions of one tile, in convolutions and matrix products; what else a
    network does is small beside them.

    ``None`` where that cannot be seen: other weights than ONNX, a step that is not counted, a size
    that is open, or no ``onnx`` installed.
    """
    if card.format != "onnx":
        return None
    try:
        import onnx
    except ModuleNotFoundError:
        return None
    model = onnx.load(card.weights, load_external_data=False)
    _one_tile(model.graph, card.tile.size_px)
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except onnx.shape_inference.InferenceError:
        return None
    if any(node.op_type in _UNCOUNTED for node in graph.node):
        return None
    shapes = _shapes(graph)
    found = [_COUNTS[node.op_type](node, shapes) for node in graph.node if node.op_type in _COUNTS]
    return None if any(count is None for count in found) else float(sum(c or 0 for c in found))


def _one_tile(graph: Any, side: int) -> None:
    """Sizes that the graph leaves open: one tile, of the card's size."""
    stored = {tensor.name for tensor in graph.initializer}
    for given in graph.input:
        if given.name not in stored:
            for at, size in enumerate(given.type.tensor_type.shape.dim):
                if at == 0:
                    size.dim_value = 1
                elif size.dim_value <= 0:
                    size.dim_value = side


def _shapes(graph: Any) -> dict[str, Shape]:
    found: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape"):  # an open size is that of the one tile
            found[value.name] = tuple(size.dim_value or 1 for size in sizes)
    return found


def _weighted(node: Any, shapes: Mapping[str, Shape], weights: int, over: str) -> float | None:
    """Of a convolution: a filter of ``weights`` at each place of what it gives, or takes."""
    places, kernel = shapes.get(over), shapes.get(node.input[weights])
    return None if places is None or kernel is None else 2.0 * _all(places) * _all(kernel[1:])


def _conv(node: Any, shapes: Mapping[str, Shape]) -> float | None:
    weights = 3 if node.op_type == "QLinearConv" else 1
    return _weighted(node, shapes, weights, node.output[0])


def _conv_transpose(node: Any, shapes: Mapping[str, Shape]) -> float | None:
    return _weighted(node, shapes, 1, node.input[0])


def _product(node: Any, shapes: Mapping[str, Shape]) -> float | None:
    given, made = shapes.get(node.input[0]), shapes.get(node.output[0])
    if not given or made is None:
        return None
    flipped = any(one.name == "transA" and one.i for one in node.attribute)
    return 2.0 * _all(made) * given[0 if flipped else -1]


def _all(sizes: Shape) -> int:
    return math.prod(sizes)


_COUNTS: Mapping[str, Callable[[Any, Mapping[str, Shape]], float | None]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _product,
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
}
