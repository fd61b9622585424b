"""What is left to do to an ONNX network's output, and what in its graph speaks against it."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from wsi_ai.core.cards import Activation, ModelCard
from wsi_ai.errors import ModelError
from wsi_ai.inference.ends import ACTIVATION, UNKNOWN, Step, already_done, ends_in_activation
from wsi_ai.inference.onnx.chance import by_chance
from wsi_ai.inference.onnx.operators import Graph, Node
from wsi_ai.inference.trial import unsteady

_ACTIVATIONS = {"HardSigmoid", "Sigmoid", "Softmax"}
_FIRST_INPUT = {
    "AveragePool", "Cast", "CastLike", "Clip", "DequantizeLinear", "Dropout", "Expand", "Flatten",
    "Gather", "GatherElements", "GatherND", "GlobalAveragePool", "GlobalMaxPool", "Identity",
    "MaxPool", "QuantizeLinear", "ReduceMax", "ReduceMean", "ReduceMin", "Reshape", "Resize",
    "Slice", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Upsample",
}  # fmt: skip
"""Their first input holds the values; others say where or how."""
_EVERY_INPUT = {"Concat", "Max", "Mean", "Min"}
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft"}
"""Whose operators ONNX Runtime has itself."""
_LOADS_FILES = {"EPContext"}
"""Operators that name a file with the compiled network of some device."""


def ends_in_scores(graph: Graph, output: str) -> bool:
    """Whether the output is a softmax's or a sigmoid's, moved and picked at most."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    constants = graph.constants

    def step_of(value: str) -> Step:
        node = makers.get(value)
        if node is None or node.domain not in ("", "ai.onnx"):
            return UNKNOWN
        if node.op in _ACTIVATIONS:
            return ACTIVATION
        if node.op in _FIRST_INPUT:
            return Step(passes=node.inputs[:1]) if value == node.outputs[0] else UNKNOWN
        if node.op in _EVERY_INPUT:
            return Step(passes=node.inputs)
        if node.op == "Sub" and set(constants.get(node.inputs[0], ())) == {1.0}:
            return Step(passes=node.inputs[1:2])
        return UNKNOWN

    return ends_in_activation(output, step_of)


def check_graph(card: ModelCard, graph: Graph, number: int = 1) -> None:
    """Of the network's outputs the one is used that the card names, or the first ``number``.

    Raises ModelError where the network needs what is not in the file, where it draws by chance, or
    where the card asks for an activation that the network has done."""
    used = (card.output.name,) if card.output.name else graph.outputs[:number]
    if foreign := foreign_operator(graph):
        raise ModelError(
            f"{card.weights.name} needs {foreign}, which is not in the file: no library and no"
            " compiled network is loaded for a model; export it in ONNX's own operators"
        )
    if drawing := by_chance(graph, used):
        raise ModelError(unsteady(card.weights.name, f"{drawing} draws by chance"))
    done = card.activation is not Activation.NONE and ends_in_scores(graph, "".join(used[:1]))
    if done and not card.gives_vectors:
        raise ModelError(already_done(card.weights.name, card.activation))


def foreign_operator(graph: Graph) -> str | None:
    """The first that neither ONNX Runtime nor the file itself defines; local paths are not told."""
    for node in (*graph.nodes, *graph.inner):
        known = node.domain in _DOMAINS or (node.domain, node.op) in graph.functions
        if not known or node.op in _LOADS_FILES:
            return f"the operator {PurePosixPath(node.op).name} of {node.domain or 'ONNX'}"
    return None


def in_training_mode(graph: Graph) -> list[str]:
    """Nodes whose attribute ``training_mode`` is set: they compute from the whole batch, or by
    chance."""
    nodes: Iterable[Node] = (*graph.nodes, *graph.inner)
    return [f"{n.op} {n.name or n.outputs[0]}" for n in nodes if n.numbers.get("training_mode")]
