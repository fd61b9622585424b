"""Break ``gpu/ring.py`` in one place at a time.

``python -m tests.inference.gpu.ring_mutants`` prints what notices each of them, as a table."""

import ast
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.inference.gpu.ring_scenarios import Judge
from wsi_ai.inference.gpu import ring

SOURCE = Path(ring.__file__).read_text("utf-8")
SYNCHRONISATION = ("record", "wait", "synchronize", "close")
STREAMS = ("upload", "compute", "download")
EVENTS = ("slot.uploaded", "slot.consumed", "result.downloaded")
Change = Callable[[list[ast.stmt], int], str | None]
"""Breaks the statement at a position of a block, and says how; ``None`` where it cannot."""
Mutant = tuple[str, str, types.ModuleType]
"""The kind, what was done, the broken module."""
OTHERS = (
    ("result slot reused before it is collected", "len(pending) == len(results)", "False"),
    (
        "a view of the pinned result yielded",
        "array[: len(done.index)].copy()",
        "array[: len(done.index)]",
    ),
    ("stale pad", "array[len(pixels) :] = 0", "pass"),
    ("index not copied", "batch.index.copy()", "batch.index"),
    ("order: newest first", "pending.popleft()", "pending.pop()"),
    ("kernel's output undeclared", "[result.device])", "[])"),
    ("nothing freed", "device.free(buffer)", "pass"),
    ("device pixels not waited for", "if resident is not None:", "if False:"),
    ("the slot read before its upload is queued", "[slot.device], [result", "[source], [result"),
)


def load(source: ast.Module | str, name: str) -> types.ModuleType:
    module = types.ModuleType(f"mutant {name}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source, "ring.py", "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


def mutants() -> Iterator[Mutant]:
    """Each synchronisation removed, moved past its neighbours, given each other argument; and
    some mistakes of other kinds."""
    changes: list[tuple[str, Change]] = [("removed", remove), ("moved", swap)]
    changes += [("moved", swap_back)]
    changes += [("misdirected", misdirect(name)) for name in (*STREAMS, *EVENTS)]
    tree = ast.parse(SOURCE)
    found = sites(tree)
    known = [names_at(tree, block) for block, _ in found]
    for kind, change in changes:
        for index, names in enumerate(known):
            block, position = found[index]
            line = f"{block[position].lineno}: {ast.unparse(block[position])}"
            done = change(block, position)
            if done is None:
                continue
            if names >= _roots(block[position]):
                what = f"{line}{done}"
                yield kind, what, load(ast.fix_missing_locations(tree), f"{kind} {what}")
            tree = ast.parse(SOURCE)
            found = sites(tree)
    for what, old, new in OTHERS:
        assert old in SOURCE, old
        yield "other", what, load(SOURCE.replace(old, new), what)


def sites(tree: ast.Module) -> list[tuple[list[ast.stmt], int]]:
    """The block, and the position in it, of every synchronisation call."""
    return [
        (block, position)
        for node in ast.walk(tree)
        for block in (getattr(node, "body", None), getattr(node, "finalbody", None))
        if isinstance(block, list)
        for position, statement in enumerate(block)
        if _synchronises(statement)
    ]


def names_at(tree: ast.Module, block: list[ast.stmt]) -> set[str]:
    """What a function that has the block calls its arguments, and what it assigns."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            inside = list(ast.walk(function))
            blocks = [getattr(n, f, None) for n in inside for f in ("body", "finalbody")]
            if any(found is block for found in blocks):
                stored = {n.id for n in inside if isinstance(n, ast.Name)}
                return stored | {n.arg for n in inside if isinstance(n, ast.arg)}
    raise ValueError("a synchronisation outside a function")


def _roots(node: ast.stmt) -> set[str]:
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def _synchronises(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in SYNCHRONISATION
    )


def remove(block: list[ast.stmt], position: int) -> str:
    block[position] = ast.Pass()
    return ""


def swap(block: list[ast.stmt], position: int) -> str | None:
    if position + 1 == len(block) or isinstance(block[position + 1], ast.If):
        return None  # past the wait for device pixels, an event of its own, nothing changes
    block[position], block[position + 1] = block[position + 1], block[position]
    return " ↔ next"


def swap_back(block: list[ast.stmt], position: int) -> str | None:
    if position == 0 or _synchronises(block[position - 1]):
        return None  # the other one's swap
    if not isinstance(block[position - 1], ast.Expr):
        return None
    block[position], block[position - 1] = block[position - 1], block[position]
    return " ↔ previous"


def misdirect(argument: str) -> Change:
    def change(block: list[ast.stmt], position: int) -> str | None:
        call: Any = block[position].value  # type: ignore[attr-defined]
        possible = {"record": STREAMS, "wait": EVENTS}.get(call.func.attr, ())
        if argument not in possible or ast.unparse(call.args[0]) == argument:
            return None
        call.args[0] = ast.parse(argument, mode="eval").body
        return f" → {argument}"

    return change


def report(seeds: int = 20, thread_seeds: int = 3) -> None:
    print("| kind | mutant | happens-before (1 run) | execution, stepped | threads |")
    print("|---|---|---|---|---|")
    for kind, what, module in mutants():
        stepped = [Judge(module.Ring).judge(seed) for seed in range(seeds)]
        threaded = [Judge(module.Ring, threads=True).judge(s) for s in range(thread_seeds)]
        by_checker = Counter(message.partition(": ")[2] for message in stepped[0].checker)
        first = by_checker.most_common(1)[0][0] if by_checker else "**no**"
        hits = sum(bool(v.execution) for v in stepped)
        threads = sum(bool(v.execution) for v in threaded)
        print(f"| {kind} | `{what}` | {first} | {hits}/{seeds} | {threads}/{thread_seeds} |")


if __name__ == "__main__":
    report()
