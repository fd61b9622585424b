"""The cutting kernel gives the host's bytes: its own source, built by g++ and by NVRTC."""

import ctypes
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference.gpu.cut_mutants import CHANGES, EQUIVALENT, found_by
from tests.inference.gpu.cut_scenarios import differing, on_host
from tests.inference.gpu.host_kernel import build, compiled, needs_compiler
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.geometry import Spacing
from wsi_ai.inference.gpu.cutting import Form, cells_under, cut_plan, levels, options, source
from wsi_ai.inference.gpu.slots import Slots, needs_of, offsets
from wsi_ai.slides.codecs import decoder
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tiles.reading.host import placement
from wsi_ai.tiles.reading.schedule import StoredGrid

SLOW = os.environ.get("WSI_AI_SLOW") == "1"
UNHURRIED = pytest.mark.skipif(not SLOW, reason="takes minutes: WSI_AI_SLOW=1 runs it")
CMU, TCGA = "cmu-1-small-region.svs", "tcga-cr-7395-01a-01-ts1.svs"
SCALES = (1, 2, 1.87, 3, 4, 1.1, 1.5, 2.6, 0.8)
QUICK = ("one table of levels for all channels", "padding left as it was")
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    needs_compiler()
    return build(source())


def test_random_plans_come_out_as_the_host_shrinks_and_prepares_them(library: Any) -> None:
    assert differing(on_host(library), 2000 if SLOW else 200) == []


@pytest.mark.slow
@UNHURRIED
def test_no_byte_beside_its_memory_is_touched() -> None:
    """In a process of its own, where the library can be checked."""
    needs_compiler()
    from tests.inference.gpu.sanitized import report

    assert report(40) == ""


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *((CMU, scale) for scale in (SCALES if SLOW else (1, 1.87, 2, 0.8))),
        *((TCGA, scale) for scale in (SCALES if SLOW else (2,))),
    ],
)
def test_real_slides_come_out_as_the_host_reads_them(
    library: Any, shared_data: Path, name: str, scale: float
) -> None:
    with open_slide(shared_data / "slides" / name, Spacing(0.5, 0.5)) as slide:
        spec = TileSpec(224, 0.5 * scale, 115 if SLOW else 339)
        plan = plan_tiles(slide.info, np.ones((4, 4), np.bool_), spec)
        host = HostTiles(32, 2)(slide, plan, 0)
        level = slide.encoded_level(plan.level)  # type: ignore[attr-defined]
        for drawn, batch in zip(drawn_batches(level, plan, library), host, strict=True):
            np.testing.assert_array_equal(drawn, np.asarray(batch.pixels))


def drawn_batches(level: Any, plan: Any, library: Any) -> Any:
    place, side = placement(plan, 0, level.corner), plan.spec.size_px
    grid = StoredGrid(level.size, level.encoding.tile)
    cut, needs = cut_plan(grid, place.size, side), needs_of(grid, place, 32)
    slots = Slots(2 * needs.most_at_once, needs)
    pool = np.zeros((2 * needs.most_at_once, cut.tile_bytes), np.uint8)
    run = compiled("", options(Form()), library=library, seed=3)
    for number, start in enumerate(range(0, len(place), 32)):
        part = place.part(start, start + 32)
        under = cells_under(grid, part)
        taken = slots.take(number)
        for cell, slot in zip(taken.cells.tolist(), taken.slots.tolist(), strict=True):
            data = level.encoded(cell % grid.across, cell // grid.across)
            into = pool[slot].reshape(grid.tile.height, grid.tile.width, 3)
            decoder(level.encoding)(data, into)
        at = offsets(cut, under, slots, np.zeros(needs.level, np.bool_))
        out = np.zeros((len(part), side, side, 3), np.uint8)
        corners = np.stack([part.x, part.y], 1).astype(np.int32)
        args = (pool, at, corners, *cut.tables, Form().levels, out, *cut.numbers(len(part)))
        run((-(-(side**2) // 256), len(out)), (256,), args)
        yield out


@pytest.mark.parametrize(
    "what",
    [
        name if name in QUICK else pytest.param(name, marks=[pytest.mark.slow, UNHURRIED])
        for name in CHANGES
    ],
)
def test_each_mutant_of_the_kernel_is_found_but_the_one_that_changes_nothing(what: str) -> None:
    needs_compiler()
    assert (found_by(what) is None) == (what == EQUIVALENT)


def test_there_are_28_mutants_and_one_changes_nothing() -> None:
    assert len(CHANGES) == 28
    assert EQUIVALENT in CHANGES


def test_grey_levels_have_the_bits_that_numpy_gives_them() -> None:
    scale, shift = np.array([0.017, 0.5, 1], np.float32), np.array([-2.1, 0, 3], np.float32)
    value = np.arange(256)[None].astype(np.float32) * scale[:, None] + shift[:, None]
    assert levels(scale, shift, "float32").tolist() == value.view(np.uint32).tolist()
    half = value.astype(np.float16).view(np.uint16)
    assert levels(scale, shift, "float16").tolist() == half.tolist()
    assert Form().levels[1].tolist() == list(range(256))


def nvrtc() -> Any:
    """The library of the wheel ``nvidia-cuda-nvrtc``; it needs no driver."""
    found = find_spec("nvidia")
    places = [Path(place) for place in found.submodule_search_locations] if found else []
    for library in [path for place in places for path in place.glob("*/lib/libnvrtc.so.1*")]:
        for builtins in library.parent.glob("libnvrtc-builtins.so.1*"):  # it is looked for by name
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
        return ctypes.CDLL(str(library))
    pytest.skip("nvidia-cuda-nvrtc is not installed")


@pytest.mark.parametrize("architecture", ARCHITECTURES if SLOW else ("sm_75", "sm_120"))
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"] if SLOW else ["float16"])
def test_nvrtc_compiles_it_for(architecture: str, dtype: str) -> None:
    given = options(Form(dtype, planes_first=True))
    code, log = nvrtc_compiled(nvrtc(), source(), (f"--gpu-architecture={architecture}", *given))
    assert code, log
    assert log.strip("\0\n ") == ""


def test_nvrtc_says_where_a_broken_source_is_broken() -> None:
    code, log = nvrtc_compiled(nvrtc(), source().replace("Rgb sum", "Rgb"), ("--std=c++17",))
    assert code == b""
    assert "error" in log


def nvrtc_compiled(library: Any, text: str, given: tuple[str, ...]) -> tuple[bytes, str]:
    """Machine code, and what the compiler has to say."""
    program = ctypes.c_void_p()
    create: Callable[..., int] = library.nvrtcCreateProgram
    assert create(ctypes.byref(program), text.encode(), b"cut.cu", 0, None, None) == 0
    arguments = (ctypes.c_char_p * len(given))(*(option.encode() for option in given))
    failed = library.nvrtcCompileProgram(program, len(given), arguments)
    log = _text(library, program, "ProgramLog").decode()
    return (b"" if failed else _text(library, program, "CUBIN")), log


def _text(library: Any, program: Any, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, content)
    return content.raw
