"""Which steps of an ONNX graph draw by chance.  Pure.

A network with one answers otherwise each time; two answers may agree by chance, too, so that
trying it does not show it for certain.
"""

from collections.abc import Iterable, Iterator, Mapping

from wsi_ai.inference.onnx.operators import Graph, Node

_DRAWS = {
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Sampling",
}  # fmt: skip
_TRAINING_INPUT = {"BiasDropout": 4, "BitmaskBiasDropout": 4, "BitmaskDropout": 2, "Dropout": 2}
"""The input that says whether values are left out; without it none are."""


def by_chance(graph: Graph, outputs: Iterable[str]) -> str | None:
    """The first step that draws, of those that ``outputs`` come from, as ``Dropout drop1``."""
    looked_into = set[tuple[str, str]]()
    for node in _behind(graph, outputs):
        if drawing := next(_drawing(node, graph, graph.constants, looked_into), None):
            return f"{drawing.op} {drawing.name or ''.join(drawing.outputs[:1])}".rstrip()
    return None


def _behind(graph: Graph, outputs: Iterable[str]) -> Iterator[Node]:
    """The steps that values come from.  What is in a loop or a branch uses values from outside
    without saying so on the loop."""
    makers = {name: place for place, node in enumerate(graph.nodes) for name in node.outputs}
    seen, waiting = set[int](), [*outputs]
    while waiting:
        value = waiting.pop()
        place = makers.get(value)
        if not value or place is None or place in seen:
            continue
        seen.add(place)
        yield graph.nodes[place]
        for part in (graph.nodes[place], *graph.nodes[place].inner):
            waiting += part.inputs


def _drawing(
    node: Node,
    graph: Graph,
    constants: Mapping[str, tuple[float, ...]],
    looked_into: set[tuple[str, str]],
) -> Iterator[Node]:
    """Of a step, of all that is in it, and in the functions that it calls."""
    for part in (node, *node.inner):
        name = (part.domain, part.op)
        function = graph.functions.get(name)
        if function is None and _draws(part, constants):
            yield part
        elif function is not None and name not in looked_into:
            looked_into.add(name)
            for inside in function.nodes:
                yield from _drawing(inside, graph, function.constants, looked_into)


def _draws(node: Node, constants: Mapping[str, tuple[float, ...]]) -> bool:
    """Also where it is not known whether it does."""
    place = _TRAINING_INPUT.get(node.op)
    if place is None:
        return node.op in _DRAWS
    asked = node.inputs[place : place + 1]
    return asked not in ((), ("",)) and any(constants.get(asked[0], (1.0,)))
