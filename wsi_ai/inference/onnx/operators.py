"""What an ONNX file says of its graph, without a library: its weights are stepped over.

The fields are those of onnx.proto, in protobuf's encoding
(https://protobuf.dev/programming-guides/encoding/).
"""

import mmap
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

_GRAPH, _FUNCTION = 7, 25  # of a ModelProto
_FUNCTION_NAME, _FUNCTION_DOMAIN, _FUNCTION_NODE = 1, 10, 7
_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12  # of a GraphProto
_INPUTS, _OUTPUTS, _NODE_NAME, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_NAME, _INT, _TENSOR, _SUBGRAPH, _SUBGRAPHS = 1, 3, 5, 6, 11
_DATA_TYPE, _FLOATS, _INTS, _TENSOR_NAME, _RAW = 2, 4, 5, 8, 9  # of a TensorProto
_FLOAT, _BOOL = 1, 9  # of TensorProto.DataType
_VALUE_NAME = 1
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_SMALL, _DEEP = 64, 32
Content = bytes | mmap.mmap
_Part = tuple[int, int]
"""The first byte, and the one past the last."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a graph; of its attributes the whole numbers, and one small tensor."""

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, int]
    constant: tuple[float, ...] | None
    """Of a tensor of floats or truths that it holds, where that is small."""
    inner: tuple["Node", ...] = ()
    """Those of its loops and branches, and of what is in these."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes of the main graph, and what else there is to know."""

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, tuple[float, ...]]
    """Stored tensors of floats or truths, where they are small; those of inner graphs too."""
    functions: Mapping[tuple[str, str], "Graph"]
    """What the file itself defines, by domain and name."""

    @property
    def inner(self) -> Iterator[Node]:
        """Those of loops, branches and local functions."""
        for node in self.nodes:
            yield from node.inner
        for function in self.functions.values():
            yield from function.nodes
            yield from function.inner

    @property
    def operators(self) -> Counter[str]:
        """How often each is in the main graph."""
        return Counter(node.op for node in self.nodes)


NOTHING = Graph((), (), {}, {})


def operators(path: Path) -> Counter[str]:
    """How often each operator is in the graph; none where the file is damaged or not ONNX."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            return read_graph(content).operators
    except (OSError, ValueError):
        return Counter()


def read_graph(content: Content) -> Graph:
    """``NOTHING`` where it is damaged or no ONNX."""
    try:
        return _graph(content)
    except (IndexError, ValueError, struct.error):
        return NOTHING


def _graph(data: Content) -> Graph:
    main, functions = NOTHING, dict[tuple[str, str], Graph]()
    for field, part in _fields(data, (0, len(data))):
        if field == _GRAPH:
            nodes, constants = _nodes(data, part, _NODE)
            outputs = (_text(data, inside, _VALUE_NAME) for inside in _parts(data, part, _OUTPUT))
            main = Graph(nodes, tuple(outputs), constants, functions)
        elif field == _FUNCTION:
            name = (_text(data, part, _FUNCTION_DOMAIN), _text(data, part, _FUNCTION_NAME))
            nodes, constants = _nodes(data, part, _FUNCTION_NODE)
            if name in functions:  # another for other types: which is meant is not looked into
                nodes, constants = (*functions[name].nodes, *nodes), {}
            functions[name] = Graph(nodes, (), constants, {})
    return main


def _nodes(
    data: Content, graph: _Part, wanted: int
) -> tuple[tuple[Node, ...], dict[str, tuple[float, ...]]]:
    """Those right inside; and the small tensors that are stored in it, and in what is in it."""
    constants = dict[str, tuple[float, ...]]()
    return tuple(_each_node(data, graph, wanted, 0, constants)), constants


def _each_node(
    data: Content, graph: _Part, wanted: int, depth: int, constants: dict[str, tuple[float, ...]]
) -> Iterator[Node]:
    """With what is inside it; small tensors are put into ``constants``."""
    if depth > _DEEP:
        raise ValueError("graphs within graphs")
    for field, part in _fields(data, graph):
        if field == _INITIALIZER and wanted == _NODE:
            if (small := _small(data, part)) is not None:
                constants[_text(data, part, _TENSOR_NAME)] = small
        elif field == wanted:
            inner = [
                node
                for attribute in _parts(data, part, _ATTRIBUTE)
                for number, subgraph in _fields(data, attribute)
                if number in (_SUBGRAPH, _SUBGRAPHS)
                for node in _each_node(data, subgraph, _NODE, depth + 1, constants)
            ]
            deeper = (each for node in inner for each in (node, *node.inner))
            made = replace(_node(data, part), inner=tuple(deeper))
            if made.constant is not None:
                constants.update(dict.fromkeys(made.outputs, made.constant))
            yield made


def _node(data: Content, part: _Part) -> Node:
    texts: dict[int, list[str]] = {_INPUTS: [], _OUTPUTS: [], _NODE_NAME: [], _OP_TYPE: []}
    texts[_DOMAIN] = []
    numbers, constant = dict[str, int](), None
    for field, inside in _fields(data, part):
        if field in texts:
            texts[field].append(data[inside[0] : inside[1]].decode())
        elif field == _ATTRIBUTE:
            name = _text(data, inside, _ATTRIBUTE_NAME)
            numbers[name] = next(_numbers(data, inside, _INT), 0)
            for tensor in _parts(data, inside, _TENSOR):
                constant = _small(data, tensor)
    op, name, domain = ("".join(texts[field]) for field in (_OP_TYPE, _NODE_NAME, _DOMAIN))
    return Node(op, domain, name, tuple(texts[_INPUTS]), tuple(texts[_OUTPUTS]), numbers, constant)


def _small(data: Content, tensor: _Part) -> tuple[float, ...] | None:
    """``None`` where there are many, or none that are floats of 32 bits or truths."""
    kind = next(_numbers(data, tensor, _DATA_TYPE), 0)
    for field, (start, end) in _fields(data, tensor):
        part = data[start:end] if 0 < end - start <= _SMALL else b""
        if kind == _FLOAT and field in (_FLOATS, _RAW) and part and not len(part) % 4:
            return struct.unpack(f"<{len(part) // 4}f", part)
        if kind == _BOOL and field in (_INTS, _RAW) and part:
            return tuple(map(float, part))  # truths take a byte each in either
    return None


def _text(data: Content, part: _Part, wanted: int) -> str:
    return "".join(data[start:end].decode() for start, end in _parts(data, part, wanted))


def _parts(data: Content, part: _Part, wanted: int) -> Iterator[_Part]:
    return (inside for number, inside in _fields(data, part) if number == wanted)


def _fields(data: Content, part: _Part) -> Iterator[tuple[int, _Part]]:
    """Numbers of a message's fields that have contents, and where these are."""
    for number, kind, start, end in _all(data, part):
        if kind in (_BYTES, _FOUR_BYTES):
            yield number, (start, end)


def _numbers(data: Content, part: _Part, wanted: int) -> Iterator[int]:
    for number, kind, start, _ in _all(data, part):
        if number == wanted and kind == _VARINT:
            yield _varint(data, start)[0]


def _all(data: Content, part: _Part) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind, start and end of each field.  Raises IndexError or ValueError where the
    message is damaged."""
    at, end = part
    while at < end:
        key, at = _varint(data, at)
        number, kind, start = key >> 3, key & 7, at
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        elif kind == _BYTES:
            length, start = _varint(data, at)
            at = start + length
        else:
            raise ValueError(f"no such kind of field: {kind}")
        if at > end:
            raise IndexError("a field leads out of its message")
        yield number, kind, start, at


def _varint(data: Content, at: int) -> tuple[int, int]:
    """The number there, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
