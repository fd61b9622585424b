"""A file of PyTorch from nobody known: what could do more than compute is refused unloaded."""

import io
import json
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.inference.torch_models import Nets, Red  # noqa: E402
from wsi_ai.errors import ModelError  # noqa: E402
from wsi_ai.inference.torch.archives import members_of  # noqa: E402
from wsi_ai.inference.torch.operators import is_script_operator  # noqa: E402
from wsi_ai.inference.torch.pickles import WeightsFile, load_state  # noqa: E402
from wsi_ai.inference.torch.programs import checked_program, is_arithmetic  # noqa: E402
from wsi_ai.inference.torch.rehearsal import rehearse  # noqa: E402
from wsi_ai.inference.torch.scripts import checked_script, foreign_operators  # noqa: E402
from wsi_ai.inference.torch.weights import load_whole  # noqa: E402


@pytest.fixture(scope="module")
def pt2() -> bytes:
    return Nets(Red(), torch.zeros(2, 3, 64, 64)).pt2()


@pytest.fixture(scope="module")
def script() -> bytes:
    return Nets(Red(), torch.zeros(2, 3, 64, 64)).torchscript()


CODE = "__import__('pathlib').Path('boom').touch()"


@pytest.mark.parametrize(
    "text",
    [CODE, f"Symbol('s0', positive={CODE})", f"Symbol({CODE!r})", "().__class__", "s0.x", "f(1)",
     "[x for x in (1,)]", "lambda: 1", "s0[0]", "'text'", "9**9**9**9", "Pow(9, 9)", "1 << 99",
     "Symbol(Symbol('s0'))", "Max(s0, key=1)", "1" * 3000, "(" * 500 + ")" * 500, "factorial(9999)",
     "s0 if 1 else 2", "f'{s0}'", "x := 1", "Symbol('a b')", "Symbol('s0', 1)", ""],
)  # fmt: skip
def test_an_expression_that_does_more_than_count_is_refused(pt2: bytes, text: str) -> None:
    assert not is_arithmetic(text)
    with pytest.raises(ModelError, match="holds the expression"):
        checked_program("a.pt2", changed(pt2, "expr_str", text))


@pytest.mark.parametrize(
    "text",
    ["s0", "s77*2 + 1", "Symbol('s77', positive=True, integer=True)", "Max(1, s0)", "True",
     "((s0 - 1)//16) + 1", "Mul(Integer(2), Symbol('u0', integer=True))", "Eq(s0, 4)", "-1"],
)  # fmt: skip
def test_an_expression_that_counts_is_taken(text: str) -> None:
    assert is_arithmetic(text)


TARGETS = [
    "torch.load", "torch.hub.load", "torch.os.system", "torch.serialization.os.system",
    "torch.ops.load_library", "torch.ops.aten.from_file.default", "torch.ops.aten.__class__.x",
    "_operator.attrgetter", "_operator.methodcaller", "_operator.call", "math.__loader__.x",
    "torch.ops.mine.conv2d.default", "#extension:x", "builtins.eval", "torch.ops.aten.save.default",
    "torch.ops.higher_order.call_torchbind", "torch.ops.inductor.x.default", "torch.ops", "", CODE,
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_an_operator_that_is_not_on_the_list_is_refused(pt2: bytes, target: str) -> None:
    with pytest.raises(ModelError, match="holds the operator"):
        checked_program("a.pt2", changed(pt2, "target", target))


@pytest.mark.parametrize(
    "field", ["name", "as_name", "parameter_name", "in_spec", "out_spec", "torch_version", "fqn"]
)
@pytest.mark.parametrize("text", ["x): pass\n  import os #", 'a"b', "x'y", "a;b", "µ"])
def test_a_name_that_python_could_run_is_refused(pt2: bytes, field: str, text: str) -> None:
    with pytest.raises(ModelError, match=r"could run code|is damaged"):
        checked_program("a.pt2", changed(pt2, field, text))


def changed(content: bytes, field: str, text: Any) -> bytes:
    """With another text in the first field of that name; in one that is added, where there is
    none."""
    members = members_of("a", content)
    (inside,) = [name for name in members if str(name) == "models/model.json"]
    program = json.loads(members[inside])
    if not _set(program, field, text):
        program["graph_module"]["graph"]["nodes"][0][field] = text
    members[inside] = json.dumps(program).encode()
    return zipped({f"a/{name}": part for name, part in members.items()})


def _set(value: Any, field: str, text: Any) -> bool:
    if isinstance(value, dict):
        if isinstance(value.get(field), str):
            value[field] = text
            return True
        return any(_set(part, field, text) for part in value.values())
    return isinstance(value, list) and any(_set(part, field, text) for part in value)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_guards_and_objects_of_the_author_are_refused(pt2: bytes) -> None:
    members = members_of("a", pt2)
    (inside,) = [name for name in members if str(name) == "models/model.json"]
    program = json.loads(members[inside])
    for part, value in (("guards_code", [CODE]), ("x", {"as_custom_obj": {"name": "n"}})):
        again = {**members, inside: json.dumps({**program, part: value}).encode()}
        with pytest.raises(ModelError, match="could run code"):
            checked_program("a.pt2", zipped({f"a/{n}": p for n, p in again.items()}))


SCRIPTS = [
    'torch.from_file("boom", True, 10)', 'ops.aten.from_file("boom", True, 10)',
    'ops.aten.save(x, "boom")', "ops.mine.run(x)", 'ops.prim.Print("x")', "torch", "ops.aten",
    "getattr(x, 'from_file')", "x.from_file", "print(x)", "open(x)", "__torch__.torch.other(x)",
    "__torch__.torch.classes.mine.Thing()", "torch.classes.mine", "torch.ops.load_library(x)",
    "ops.aten.sparse_resize_(x)", "eval(x)", "torch.jit.load(x)",
]  # fmt: skip


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_script_that_names_more_than_the_list_is_refused(script: bytes, text: str) -> None:
    with pytest.raises(ModelError, match="is not known to compute and do nothing else"):
        checked_script("a.pt", with_line(script, f"    y = {text}\n"))


@pytest.mark.parametrize(
    "line", ["    # a remark\n", "    import os\n", '    """\n    """\n', "    y = 1 \\\n    + 1\n",
             "    y = 1\r\n", "    µ = 1\n", "    y = lambda: 1\n"],
)  # fmt: skip
def test_a_script_that_torch_might_read_in_another_way_is_refused(script: bytes, line: str) -> None:
    with pytest.raises(ModelError, match="is not known to compute and do nothing else"):
        checked_script("a.pt", with_line(script, line))


def with_line(script: bytes, line: str) -> bytes:
    """At the end of every function's head in the first source."""
    members = {f"a/{name}": part for name, part in members_of("a", script).items()}
    name = next(name for name in members if name.endswith(".py"))
    head, mark, rest = members[name].decode().partition(") -> Tensor:\n")
    members[name] = (head + mark + line + rest).encode()
    return zipped(members)


def test_a_script_that_writes_a_file_is_stopped_wherever_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the list of names it would still be the graph that is held to it; and in the process
    where it is loaded first nothing is written."""
    monkeypatch.chdir(tmp_path)

    class Writes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.from_file("boom", shared=True, size=4, dtype=torch.uint8).sum()

        @torch.jit.export
        def __getstate__(self) -> bool:
            return True

        @torch.jit.export
        def __setstate__(self, state: bool) -> None:  # noqa: FBT001  # PyTorch calls it
            self.training = state
            torch.from_file("boom", shared=True, size=4, dtype=torch.uint8)

    buffer = io.BytesIO()
    with pytest.warns(FutureWarning):
        torch.jit.save(torch.jit.script(Writes()), buffer)
    with pytest.raises(ModelError, match=r"the operator torch\.from_file"):
        load_whole(WeightsFile("a.pt", buffer.getvalue()), "torchscript")
    try:
        found = foreign_operators(rehearse("a.pt", "torchscript", buffer.getvalue()))
    except ModelError:
        found = ["it did not load"]
    assert found
    assert not Path("boom").exists() or Path("boom").stat().st_size == 0


# Bombs


def test_an_archive_that_unpacks_to_gigabytes_is_refused_soon(pt2: bytes) -> None:
    members = {f"a/{name}": part for name, part in members_of("a", pt2).items()}
    bomb = zipped({**members, "a/data/weights/weight_9": b"\0" * (1 << 27)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    began = time.monotonic()
    for kind in ("pt2", "torchscript"):
        with pytest.raises(ModelError, match="far larger than it is"):
            load_whole(WeightsFile("a.pt", bomb), kind)
    with pytest.raises(ModelError, match="far larger than it is"):
        load_state(WeightsFile("a.pt", bomb))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "name", ["a/DATA.PKL", "b/x", "x", "a/../../x", "a/x\\y", "a/x\x00.py", "/a/x", "a/\x1b[2J"]
)
def test_names_that_two_readers_could_read_in_two_ways_are_refused(
    script: bytes, name: str
) -> None:
    members = {f"a/{inside}": part for inside, part in members_of("a", script).items()}
    buffer = io.BytesIO(zipped(members))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("a/placeholder")
        info.filename = name
        archive.writestr(info, b"")
    with pytest.raises(ModelError, match="does not load"):
        checked_script("a.pt", buffer.getvalue())


@given(cut=st.integers(0, 4000), junk=st.binary(max_size=30))
def test_a_damaged_archive_is_refused_in_words(cut: int, junk: bytes) -> None:
    whole = zipped({"a/data.pkl": b"x" * 300, "a/code/a.py": b"x = 1\n" * 9})
    with suppress(ModelError):
        checked_script("a.pt", whole[:cut] + junk + whole[cut + len(junk) :])


def test_what_takes_the_machines_memory_is_ended_and_said() -> None:
    """A pickle that asks for 64 GiB, which weights_only lets it."""
    content = (
        b"\x80\x02ctorch\nFloatStorage\n\x8a\x05\x00\x00\x00\x00\x04\x85R."  # FloatStorage(2**34)
    )
    with pytest.raises(ModelError, match=r"does not load|holds more than tensors"):
        load_state(WeightsFile("a.pt", content))


def test_no_operator_that_touches_files_is_on_the_list() -> None:
    for name in ("from_file", "save", "load", "_save", "Print", "fork", "wait", "open", "input"):
        assert not any(is_script_operator(space, name) for space in ("aten", "prim"))
