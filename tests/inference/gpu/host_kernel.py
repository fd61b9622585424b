"""``cut.cu`` built by g++: what a device's compiler gives, on the host."""

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_TYPES = {"unsigned char": 1, "unsigned short": 2, "unsigned int": 4}
_WRAPPER = Path(__file__).with_name("on_host.cpp")
_FLAGS = ("-std=c++17", "-shared", "-fPIC", "-w")
Launch = Callable[[tuple[int, ...], tuple[int, ...], tuple[Any, ...]], None]
"""Grid, block and arguments, as CuPy's kernels take them."""


def needs_compiler() -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++ here: the kernel cannot be run on the host")


def build(source: str, flags: Sequence[str] = ("-O1",)) -> ctypes.CDLL:
    """All forms of the kernel in one library; built once for each source."""
    text = _WRAPPER.read_text("utf-8") + "".join(
        _form(planes, kind, size) for planes, (kind, size) in product((0, 1), _TYPES.items())
    )
    key = hashlib.sha256(repr((text, source, flags)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), "wsi-ai-cut", key)
    library = folder / "cut.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            made = _compiled(Path(fresh), text, source, flags)
            made.replace(library)
    return ctypes.CDLL(str(library))


def _compiled(folder: Path, text: str, source: str, flags: Sequence[str]) -> Path:
    (folder / "cut.cu").write_text(source, "utf-8")
    (folder / "all.cpp").write_text(text, "utf-8")
    out = folder / "cut.so"
    command = ["g++", *_FLAGS, *flags, "-o", str(out), str(folder / "all.cpp")]
    subprocess.run(command, check=True, capture_output=True)
    return out


def _form(planes: int, kind: str, size: int) -> str:
    name = f"{planes}{size}"
    return f"""
#define PLANES {planes}
#define OUT {kind}
#define cut cut_{name}
namespace form_{name} {{
#include "cut.cu"
}}
RUN(run_{name}, form_{name}, {kind})
#undef PLANES
#undef OUT
#undef cut
"""


def compiled(
    source: str, options: Sequence[str], *, library: ctypes.CDLL | None = None, seed: int = 0
) -> Launch:
    """What ``Device.module`` gives, for the simulated device."""
    given = dict(re.findall(r"-D(\w+)=(.+)", "\n".join(options)))
    name = f"run_{given['PLANES']}{_TYPES[given['OUT']]}"
    run = getattr(library or build(source), name)

    def launch(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        pointers = [_pointer(array) for array in args[:7]]
        numbers = np.array(args[7:], np.int32)
        run(*grid, block[0], seed, *pointers, _pointer(numbers))

    return launch


def _pointer(array: Any) -> ctypes.c_void_p:
    """Of an array, or of a buffer of the simulated device."""
    memory = getattr(array, "data", array) if not isinstance(array, np.ndarray) else array
    if not memory.flags.c_contiguous:
        raise TypeError("a kernel takes contiguous memory")
    return memory.ctypes.data_as(ctypes.c_void_p)
