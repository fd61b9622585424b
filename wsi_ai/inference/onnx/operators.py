"""Which operators an ONNX file uses, read without a library: weights are skipped.

The fields are those of onnx.proto, in protobuf's encoding
(https://protobuf.dev/programming-guides/encoding/).
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_GRAPH, _NODE, _OP_TYPE = 7, 1, 4
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_Part = tuple[int, int]
"""The first byte, and the one past the last."""


def operators(path: Path) -> Counter[str]:
    """How often each operator is in the graph; none where the file is damaged or not ONNX."""
    found = Counter[str]()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            for graph in _fields(data, (0, len(data)), _GRAPH):
                for node in _fields(data, graph, _NODE):
                    found.update(
                        data[start:end].decode() for start, end in _fields(data, node, _OP_TYPE)
                    )
    except (IndexError, OSError, ValueError):
        return Counter()
    return found


def _fields(data: mmap.mmap, part: _Part, wanted: int) -> Iterator[_Part]:
    """Where the contents of a message's fields with that number are.  Raises IndexError or
    ValueError where it is damaged."""
    at, end = part
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        elif kind == _BYTES:
            length, at = _varint(data, at)
            if number == wanted:
                yield at, at + length
            at += length
        else:
            raise ValueError(f"no such kind of field: {kind}")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """The number there, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
