"""TorchScript files that compute and do nothing else.

TorchScript is a language with operators that read and write files (``aten::from_file``), and some
of a file's code runs when it is loaded (``__setstate__``).  Its text is Python's as far as names
go: every name in it is held to a list before anything is loaded.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from wsi_ai.errors import ModelError
from wsi_ai.inference.torch.archives import Members, members_of, packed
from wsi_ai.inference.torch.errors import MEANS
from wsi_ai.inference.torch.operators import is_known_class, is_script_operator

_PARTS = {"code", "constants", "data", "traced_inputs", ".data", "tensors"}
_FILES = {
    "constants.pkl", "data.pkl", "traced_inputs.pkl", "version", "byteorder", "model.json",
    "attributes.pkl", "bytecode.pkl", "mobile_debug_handles.pkl", "extra", ".format_version",
    ".storage_alignment",
}  # fmt: skip
_LONGEST = 1 << 26
_CLASSES = re.compile(rb"torch\.classes\.([A-Za-z0-9_.]+)")
_ROOTS = {"torch", "ops", "__torch__", "CONSTANTS"}
_BUILT_IN = {
    "Any", "AnyClassType", "Dict", "Final", "Future", "List", "Module", "NamedTuple", "None",
    "NoneType", "Optional", "Tensor", "Tuple", "Union", "annotate", "bool", "complex", "float",
    "inf", "infj", "int", "isinstance", "len", "nan", "nanj", "number", "range", "str",
    "unchecked_cast", "uninitialized", "Device", "Generator", "Enum", "Interface", "layout",
    "Layout", "ScalarType", "Exception", "ValueError",
    "__annotations__", "builtins", "getattr",
}  # fmt: skip


def checked_script(name: str, content: bytes) -> bytes:
    """An archive with what of the file computes.  Raises ModelError where it names an operator that
    is not known to, or a class of another library."""
    members = {
        inside: part
        for inside, part in members_of(name, content).items()
        if inside.parts[0] in _PARTS or str(inside) in _FILES
    }
    sources = {i: part for i, part in members.items() if i.suffix == ".py"}
    if not sources or PurePosixPath("data.pkl") not in members:
        raise ModelError(f"{name} does not load: it is no file of TorchScript")
    found = _foreign_class(members) or _foreign_name(sources.values())
    if found:
        raise ModelError(
            f"{name} holds {found}, which is not known to compute and do nothing else: {MEANS}"
        )
    return packed(members)


def _foreign_class(members: Members) -> str | None:
    for part in (part for inside, part in members.items() if inside.suffix in (".pkl", ".py")):
        for match in _CLASSES.finditer(part):
            if not is_known_class(match[1].decode("ascii")):
                return f"the class {match[1].decode('ascii')}"
    return None


def _foreign_name(sources: Iterable[bytes]) -> str | None:
    try:
        trees = [_parsed(source) for source in sources]
    except (MemoryError, RecursionError, SyntaxError, UnicodeDecodeError, ValueError):
        return "a program that cannot be read"
    fields = {name for tree in trees for name in _fields(tree)}
    return next((found for tree in trees for found in _names(tree, fields)), None)


def _parsed(source: bytes) -> ast.AST:
    """Raises ValueError or SyntaxError for what TorchScript might read in another way than
    Python."""
    text = source.decode("ascii")
    if len(text) > _LONGEST or re.search(r"[\x00-\x09\x0b-\x1f\x7f]|\\\n|\"\"\"|'''", text):
        raise ValueError("not as TorchScript writes it")
    if re.search(r"#(?! ?type: )", re.sub(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'", "", text)):
        raise ValueError("remarks")
    return ast.parse(text)


def _fields(tree: ast.AST) -> Iterator[str]:
    """Functions, classes and their fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            inside = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            yield from (part.target.id for part in inside if isinstance(part.target, ast.Name))
            yield from _numbered(node)


def _numbered(kind: ast.ClassDef) -> Iterator[str]:
    """Fields whose names are none of Python's, as ``__annotations__["0"] = ...`` gives them."""
    for part in (part for part in kind.body if isinstance(part, ast.Assign)):
        for target in part.targets:
            if isinstance(target, ast.Name):  # of an Enum
                yield target.id
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                yield str(target.slice.value)


def _variables(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _names(tree: ast.AST, fields: set[str]) -> Iterator[str]:
    """Those that neither the file defines nor the list has; and what hides one."""
    own = fields | set(_variables(tree))
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Lambda | ast.Global):
            yield "a statement that is none of TorchScript"
        elif isinstance(node, ast.Name):
            yield from _foreign_word(node, own, is_inner=id(node) in inner)
        elif isinstance(node, ast.Attribute) and id(node) not in inner:
            yield from _foreign_path(_path(node), fields)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            name = getattr(node.args[1], "value", None) if len(node.args) == 2 else None
            if name not in fields:
                yield f"the name {str(name)[:60]}"


def _foreign_word(node: ast.Name, own: set[str], *, is_inner: bool) -> Iterator[str]:
    """A root of operators must not get another name."""
    whole = not is_inner or not isinstance(node.ctx, ast.Load)
    if (node.id in _ROOTS and whole) or node.id not in own | _ROOTS | _BUILT_IN:
        yield f"the name {node.id[:60]}"


def _path(node: ast.expr) -> list[str]:
    """The names of a chain; one that begins with no name begins with an empty one."""
    if isinstance(node, ast.Attribute):
        return [*_path(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def _foreign_path(path: list[str], fields: set[str]) -> Iterator[str]:
    root, *rest = path
    if root in ("torch", "ops"):
        space, name = ("aten", rest[0]) if root == "torch" else (rest[0], rest[-1])
        if len(rest) != (1 if root == "torch" else 2) or not is_script_operator(space, name):
            yield f"the operator {'.'.join(path)[:60]}"
    elif root == "__torch__":
        if rest[:2] != ["torch", "classes"] and rest[-1] not in fields:
            yield f"the name {'.'.join(path)[:60]}"
    elif root != "CONSTANTS":
        for name in rest:
            if name not in fields and not is_script_operator("aten", name):
                yield f"the operator {name[:60]}"


def foreign_operators(kinds: Iterable[str]) -> list[str]:
    """Of the operators that a loaded program really has, as ``aten::conv2d``."""
    return [kind for kind in kinds if not _is_known(kind)]


_CONTROL = {
    "CallFunction", "CallMethod", "Constant", "CreateObject", "DictConstruct", "DictIndex",
    "EnumName", "EnumValue", "GetAttr", "If", "ListConstruct", "ListUnpack", "Loop", "Param",
    "Return", "SetAttr", "TupleConstruct", "TupleIndex", "TupleSlice", "TupleUnpack",
    "Uninitialized", "abs", "device", "dtype", "is_cuda", "isinstance", "layout", "max", "min",
    "shape",
}  # fmt: skip


def _is_known(kind: str) -> bool:
    space, _, name = kind.partition("::")
    return is_script_operator(space, name) or (space == "prim" and name in _CONTROL)
