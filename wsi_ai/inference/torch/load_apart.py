"""What the process apart does with a file: loads it, and tells what is in it."""

import io
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from wsi_ai.errors import first_line
from wsi_ai.inference.torch.errors import BROKEN

_LINE = 400
_TRIED = list[str]()
"""Kinds that this process has loaded one file of."""


def make_ready(kind: str) -> None:
    """Import what loading needs, before anything is loaded; one thread, for each file's process is
    a copy of this one."""
    torch.set_num_threads(1)
    if kind == "pt2" and not _TRIED:
        _TRIED.append(kind)
        buffer = io.BytesIO()  # torch imports much of what it needs on the way, and late
        torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), buffer)
        _program(io.BytesIO(buffer.getvalue()))


def load_apart(kind: str, file: io.BytesIO) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {"operators": sorted(_KINDS[kind](file))}
    except pickle.UnpicklingError as error:
        more = "weights_only" in str(error)
        return {"more": True} if more else {"error": first_line(error)[:_LINE]}
    except (*BROKEN, MemoryError) as error:
        return {"error": first_line(error)[:_LINE]}


def _script(file: io.BytesIO) -> set[str]:
    module = torch.jit.load(file, map_location="cpu")
    kinds = set[str]()
    for part in module.modules():
        for name in part._c._method_names():
            graph = part._c._get_method(name).inlined_graph
            kinds.update(node.kind() for node in _nodes(graph))
    return kinds


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _program(file: io.BytesIO) -> set[str]:
    torch.export.load(file).module()
    return set()


def _state(file: io.BytesIO) -> set[str]:
    torch.load(file, map_location="cpu", weights_only=True)
    return set()


_KINDS = {"torchscript": _script, "pt2": _program, "state-dict": _state}
