"""Does a program of PyTorch end in a softmax or a sigmoid?"""

from typing import Any

import torch

from wsi_ai.inference.ends import ACTIVATION, UNKNOWN, Step, ends_in_activation

_ACTIVATIONS = {"_softmax", "hardsigmoid", "sigmoid", "softmax"}
_FIRST_INPUT = {
    "_to_copy", "_unsafe_view", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d",
    "alias", "amax", "amin", "avg_pool1d", "avg_pool2d", "chunk", "clamp", "clamp_max",
    "clamp_min", "clip", "clone", "contiguous", "dequantize", "detach", "double", "dropout",
    "expand", "flatten", "float", "gather", "getitem", "half", "index_select", "max_pool2d", "mean",
    "movedim", "narrow", "permute", "quantize_per_tensor", "reshape", "select", "slice", "split",
    "split_with_sizes", "squeeze", "swapaxes", "t", "take", "to", "transpose", "type_as", "unbind",
    "unflatten", "unsqueeze", "upsample_bilinear2d", "upsample_nearest2d", "view",
    "__getitem__", "ListUnpack", "TupleUnpack", "TupleIndex",
}  # fmt: skip
"""Their first input holds the values."""
_EVERY_INPUT = {"cat", "concat", "stack", "maximum", "minimum"}
_ONE_LESS = "rsub"


def ends_in_scores(module: Any) -> bool:
    """Whether that is its last word; false where there is no graph to look into."""
    if isinstance(module, torch.jit.ScriptModule):
        graph = module.inlined_graph  # to be held while its nodes are looked at
        return _script_ends(graph)
    if isinstance(module, torch.fx.GraphModule):
        (output,) = module.graph.find_nodes(op="output")
        return len(output.all_input_nodes) == 1 and _program_ends(module, output.all_input_nodes[0])
    if isinstance(module, torch.nn.Sequential) and len(module):
        last = module[-1]
        known = torch.nn.Softmax | torch.nn.Softmax2d | torch.nn.Sigmoid | torch.nn.Hardsigmoid
        return isinstance(last, known) or ends_in_scores(last)
    return False


def _script_ends(graph: Any) -> bool:
    values = {}

    def name_of(value: Any) -> str:
        values[value.debugName()] = value
        return str(value.debugName())

    def step_of(name: str) -> Step:
        value = values[name]
        node = value.node()
        kind, inputs = node.kind().rpartition("::")[2], list(node.inputs())
        if kind == "If":
            place = [output.debugName() for output in node.outputs()].index(name)
            made = [list(block.outputs())[place] for block in node.blocks()]
            return Step(passes=tuple(name_of(each) for each in made))
        if kind in ("ListConstruct",):
            return Step(passes=tuple(map(name_of, inputs)))
        one = kind == _ONE_LESS and [_constant(each) for each in inputs[1:]] == [1, 1]
        return _step(kind, [name_of(each) for each in inputs], one_less=one)

    outputs = list(graph.outputs())
    return len(outputs) == 1 and ends_in_activation(name_of(outputs[0]), step_of)


def _constant(value: Any) -> Any:
    return value.toIValue() if value.node().kind() == "prim::Constant" else None


def _program_ends(module: torch.fx.GraphModule, last: torch.fx.Node) -> bool:
    nodes = {node.name: node for node in module.graph.nodes}

    def step_of(name: str) -> Step:
        node = nodes[name]
        target: Any = node.target
        kind = getattr(target, "_opname", None) or getattr(target, "__name__", "")
        scalars = [each for each in node.args[1:] if not isinstance(each, torch.fx.Node)]
        one = kind == _ONE_LESS and scalars == [1] and not node.kwargs
        return _step(str(kind), [each.name for each in node.all_input_nodes], one_less=one)

    return ends_in_activation(last.name, step_of)


def _step(kind: str, inputs: list[str], *, one_less: bool) -> Step:
    plain = kind.removesuffix("_") if not kind.endswith("__") else kind
    if plain in _ACTIVATIONS:
        return ACTIVATION
    if plain in _FIRST_INPUT or one_less:
        return Step(passes=tuple(inputs[:1]))
    if plain in _EVERY_INPUT:
        return Step(passes=tuple(inputs))
    return UNKNOWN
