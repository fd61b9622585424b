"""Which operators of a program of PyTorch draw by chance.

A network with one answers otherwise each time; two answers may agree by chance, too, so that
trying it does not show it for certain.  Dropout draws where it is told to train; a ``forward`` in
Python, of a pickle or of an architecture's library, is only tried.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

_TRAINS, _SHARE = ("train", "training"), ("p", "dropout", "dropout_p")
"""Arguments: whether it draws at all; how much it leaves out."""
_UNKNOWN = object()


def by_chance(module: torch.nn.Module) -> str | None:
    """The first that draws, of those that the output comes from; ``None`` where there is no graph
    to look into."""
    if isinstance(module, torch.jit.ScriptModule):
        graph = _frozen(module)  # held while its nodes are looked at
        return next(_in_script(graph.nodes()), None)
    if isinstance(module, torch.fx.GraphModule):
        return next(_in_program(module), None)
    return None


def _frozen(module: torch.jit.ScriptModule) -> Any:
    """Its graph without the branches that only training takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that the format is on its way out
        try:
            return torch.jit.freeze(module, optimize_numerics=False).inlined_graph
        except RuntimeError:  # it changes itself while it runs
            return module.inlined_graph


def _in_script(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        schema, kind = node.schema(), node.kind()
        if "::" in schema and (operator := _operator(torch._C.parse_schema(schema))) is not None:
            given = [
                value.toIValue() if value.node().kind() == "prim::Constant" else _UNKNOWN
                for value in node.inputs()
            ]
            if _draws(operator, given, {}):
                yield str(kind)
        for block in node.blocks():
            yield from _in_script(block.nodes())


def _operator(schema: Any) -> Any:
    space, _, name = schema.name.partition("::")
    packet = getattr(getattr(torch.ops, space), name, None)
    return getattr(packet, schema.overload_name or "default", None)


def _in_program(module: torch.fx.GraphModule) -> Iterator[str]:
    """Also what is drawn right into a value, whether it is used again or not."""
    (output,) = module.graph.find_nodes(op="output")
    seen, waiting = set[torch.fx.Node](), [output]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += node.all_input_nodes
    for node in module.graph.nodes:
        target: Any = node.target
        if node.op == "get_attr" and isinstance(part := getattr(module, target, None), _Graph):
            yield from _in_program(part)
        elif isinstance(target, torch._ops.OpOverload):
            used = node in seen or target._schema.is_mutable
            if used and _draws(target, node.args, node.kwargs):
                yield f"{target} {node.name}"


_Graph = torch.fx.GraphModule


def _draws(operator: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> bool:
    """Also where it is not known whether it does."""
    if torch.Tag.nondeterministic_seeded not in operator.tags:
        return False
    arguments = operator._schema.arguments
    given = {each.name: each.default_value for each in arguments}
    given |= dict(zip((each.name for each in arguments), args, strict=False)) | dict(kwargs)
    idle = any(given.get(name) is False for name in _TRAINS)
    return not idle and not any(given.get(name) in (0, 0.0) for name in _SHARE if name in given)
