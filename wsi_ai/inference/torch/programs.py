"""Programs of ``torch.export`` (``.pt2``) that compute and do nothing else.

``torch.export.load`` evaluates the expressions in such a file, resolves whatever function a node
names, and writes Python from its names: a file can run its author's code without any pickle.  So
every word in it is held to a small grammar, every operator to a list, and what passes is written
anew: layout and fields are those of ``torch.export.pt2_archive`` and ``torch._export.serde.schema``
of torch 2.14.
"""

import ast
import io
import json
import pickle
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import torch

from wsi_ai.errors import ModelError
from wsi_ai.inference.torch.archives import Members, members_of, packed
from wsi_ai.inference.torch.errors import MEANS
from wsi_ai.inference.torch.operators import is_program_target

_PLAIN = ("archive_format", "archive_version", "byteorder")
_PROGRAM = PurePosixPath("models/model.json")
_LONGEST, _DEEPEST = 1 << 26, 200
_EMPTIED = "metadata"
"""Of a node: where its author's source was.  Nothing needs it."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_.+]{0,512}", re.ASCII)
_ARGUMENT = re.compile(r"[A-Za-z0-9_ ,.>()+-]{0,512}", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}", re.ASCII)
_FUNCTION_WORDS = """
    Add And CeilDiv CeilToInt CleanDiv Eq Equality Float FloatTrueDiv FloorDiv FloorToInt Ge Gt
    GreaterThan Integer IntTrueDiv Le LessThan Lt Max Min Mod ModularIndexing Mul Ne Not Or
    PythonMod RShift Rational Relational RoundToInt StrictGreaterThan StrictLessThan Symbol ToFloat
    TruncToFloat TruncToInt Unequality Where
"""
_FUNCTIONS = frozenset(_FUNCTION_WORDS.split())
_MATHS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd, ast.Not,
    ast.And, ast.Or, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Load,
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
)  # fmt: skip
_TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def checked_program(name: str, content: bytes) -> bytes:
    """An archive with what of the file computes.  Raises ModelError where there is more in it than
    tensors and a graph of known operators."""
    members = members_of(name, content)
    for inside, part in members.items():
        if not _is_plain(inside, part):
            raise ModelError(f"{name} holds {inside}, which {_MORE}")
    if _PROGRAM not in members:
        raise ModelError(f"{name} does not load: it is no program of torch.export")
    text = members[_PROGRAM]
    try:
        program = json.loads(text) if len(text) <= _LONGEST else None
        checked = _checked(program, "", 0)
    except (RecursionError, ValueError):
        raise ModelError(f"{name} does not load: its program is damaged") from None
    except _Foreign as found:
        raise ModelError(f"{name} holds {found}, which {_MORE}") from None
    return packed({**members, _PROGRAM: json.dumps(checked).encode(), **_samples(name, members)})


_MORE = (
    "could run code when it is loaded or run; export the network again from plain tensors and"
    f" PyTorch's own operators: {MEANS}"
)


class _Foreign(Exception):
    """What no such program needs."""


def _is_plain(inside: PurePosixPath, content: bytes) -> bool:
    match inside.parts:
        case ["data", "weights" | "constants", name] if name.endswith("_config.json"):
            return _is_plain_config(content)
        case ["data", "weights", name]:
            return name.startswith("weight_")
        case ["data", "constants", name]:
            return name.startswith("tensor_")
        case ["data", "sample_inputs", "model.pt"] | [".data", _] | ["models", "model.json"]:
            return True
        case _:
            return str(inside) in _PLAIN


def _is_plain_config(content: bytes) -> bool:
    try:
        entries = json.loads(content)["config"]
        plain = all(_is_plain_tensor(entry) for entry in entries.values())
        _checked(entries, "", 0)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, _Foreign):
        return False
    return plain


def _is_plain_tensor(entry: dict[str, Any]) -> bool:
    path = str(entry["path_name"])
    return entry["use_pickle"] is False and path.startswith(("weight_", "tensor_"))


def _samples(name: str, members: Members) -> Members:
    """The tensors that it was made with, written anew: ``torch.export.load`` would unpickle any."""
    again = {}
    for inside, content in members.items():
        if inside.parts[:2] == ("data", "sample_inputs") and content:
            try:
                tensors = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
            except pickle.UnpicklingError as error:
                told = f"{name} does not load: its sample inputs are no tensors"
                raise ModelError(told) from error
            buffer = io.BytesIO()
            torch.save(tensors, buffer)
            again[inside] = buffer.getvalue()
    return again


def _checked(value: Any, key: str, depth: int) -> Any:
    """The same without what nothing needs.  Raises _Foreign, or RecursionError."""
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, str):
        if not _RULES.get(key, _is_word)(value):
            raise _Foreign(_about(key, value))
        return value
    if isinstance(value, list):
        return [_checked(part, key, depth + 1) for part in value]
    if isinstance(value, dict):
        if "as_custom_obj" in value or (key == "treespec_namedtuple_fields" and value):
            raise _Foreign("an object of its author's")
        if strange := next((name for name in value if not _is_word(name)), None):
            raise _Foreign(f"the name {strange[:60]!r}")
        kept = {name: {} if name == _EMPTIED else part for name, part in value.items()}
        return {name: _checked(part, name, depth + 1) for name, part in kept.items()}
    return value


def _about(key: str, value: str) -> str:
    what = {"target": "the operator", "as_operator": "the operator", "expr_str": "the expression"}
    return f"{what.get(key, 'the text')} {value[:60]!r}"


def _is_word(text: str) -> bool:
    return _WORD.fullmatch(text) is not None


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _is_argument(text: str) -> bool:
    return _ARGUMENT.fullmatch(text) is not None


def is_arithmetic(text: str) -> bool:
    """Whether an expression only counts with numbers and symbols, and is done soon."""
    if len(text) > 2000:
        return False
    try:
        return all(_is_counting(node) for node in _walk(ast.parse(text, mode="eval")))
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        return False


def _walk(tree: ast.AST) -> list[ast.AST]:
    """All nodes but the names of functions and of symbols, which are checked with their calls."""
    found, waiting = list[ast.AST](), [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        is_call = isinstance(node, ast.Call)
        below = list(ast.iter_child_nodes(node))
        waiting += [part for part in below if not (is_call and _belongs_to_call(node, part))]
    return found


def _belongs_to_call(call: ast.AST, part: ast.AST) -> bool:
    symbol = isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Symbol"
    return isinstance(call, ast.Call) and (part is call.func or symbol)


def _is_counting(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _is_known_call(node)
    if isinstance(node, ast.Name):
        return _SYMBOL.fullmatch(node.id) is not None and node.id not in _FUNCTIONS
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int | float) and abs(node.value) < 1 << 64
    return isinstance(node, _MATHS)


def _is_known_call(call: ast.Call) -> bool:
    name = getattr(call.func, "id", "")
    if name != "Symbol":
        return name in _FUNCTIONS and not call.keywords
    texts = [getattr(part, "value", None) for part in call.args]
    flags = [getattr(word.value, "value", None) for word in call.keywords]
    one = len(texts) == 1 and isinstance(texts[0], str) and _SYMBOL.fullmatch(texts[0])
    return bool(one) and all(isinstance(flag, bool) for flag in flags)


def _is_tree(text: str) -> bool:
    """How inputs and outputs are nested: in tuples, lists and dictionaries alone."""
    version, tree = json.loads(text)
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        context = json.loads(part["context"] or "null")
        if part["type"] not in _TREES or set(part) != {"type", "context", "children_spec"}:
            return False
        if context is not None and not all(isinstance(k, str) and _is_word(k) for k in context):
            return False
        waiting += part["children_spec"]
    return isinstance(version, int)


def _tree(text: str) -> bool:
    try:
        return _is_tree(text)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return False


_RULES: dict[str, Callable[[str], bool]] = {
    "as_name": _is_name,
    "as_operator": is_program_target,
    "as_string": _is_argument,
    "as_strings": _is_argument,
    "expr_str": is_arithmetic,
    "forward_arg_names": _is_name,
    "guards_code": lambda text: False,
    "in_spec": _tree,
    "name": _is_name,
    "out_spec": _tree,
    "target": is_program_target,
}
"""What a text may be, by the name of its field; any other one is a word."""
