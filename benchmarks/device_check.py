"""What only a real device can show, a stage at a time; each prints lines of JSON.

    python benchmarks/device_check.py kernel|codec|rates [--slides FOLDER] [--cases 300]

kernel  random plans by the cutting kernel against the host's pixels; its µs and GB/s
codec   each backend of nvImageCodec, one tile and 128 at once, each kind of stream, against the
        host's decoders; what it makes of damaged streams, and of memory that is ours
rates   stored tiles a second, by backend and batch, from the slides in FOLDER; the host's beside

It has not met a device yet.  What cannot be had says why, and has no figure.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.inference.gpu.cut_scenarios import differing
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import DeviceError, WsiAiError
from wsi_ai.inference.gpu import cutting
from wsi_ai.inference.gpu.cutting import Form, cut_plan, levels
from wsi_ai.inference.gpu.proof import Kind, damages, on_host, samples
from wsi_ai.inference.scoring import scale_and_shift
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing.stand_ins import MEAN_CARD
from wsi_ai.tiles.reading.schedule import StoredGrid

Row = dict[str, Any]
BACKENDS = ("HW_GPU_ONLY", "GPU_ONLY", "HYBRID_CPU_GPU")
ROUNDS, BATCH, SIDE = 30, 128, 224


def kernel(device: Any, args: argparse.Namespace) -> Iterator[Row]:
    make = partial(_on_device, device)
    started = time.perf_counter()
    bad = differing(make, args.cases, seed=11)
    seconds = time.perf_counter() - started
    yield {"name": "random plans that differ", "cases": args.cases, "differ": bad, "s": seconds}
    for read in (224, 448, 419, 896):
        for form in (Form(), _half()):
            yield kernel_time(device, read, form)


def _on_device(device: Any, given: Sequence[str], seed: int) -> Callable[..., None]:
    """As ``host_kernel.compiled``: arrays of numpy's in, and out again."""
    import cupy

    run = device.module(cutting.source(), "cut", given)

    def launch(grid: Any, block: Any, args: Sequence[Any]) -> None:
        there = [cupy.asarray(np.ascontiguousarray(array)) for array in args[:7]]
        run(grid, block, (*there, *args[7:]))
        args[6][...] = there[6].get()

    return launch


def _half() -> Form:
    return Form("float16", planes_first=True, levels=levels(*scale_and_shift(MEAN_CARD), "float16"))


def kernel_time(device: Any, read: int, form: Form) -> Row:
    """Of a batch whose tiles lie side by side, by events."""
    import cupy

    from wsi_ai.inference.gpu.drawing import open_drawing
    from wsi_ai.inference.gpu.slots import Slots, needs_of, offsets
    from wsi_ai.tiles.reading.schedule import Placement

    grid = StoredGrid(Size(60_000, 60_000), Size(256, 256))
    x, y = np.meshgrid(np.arange(16) * read + 77, np.arange(BATCH // 16) * read + 33)
    place = Placement(x.ravel(), y.ravel(), Size(read, read))
    plan, needs = cut_plan(grid, place.size, SIDE), needs_of(grid, place, BATCH)
    slots = Slots(needs.most_at_once, needs)
    slots.take(0)
    drawing, constants = open_drawing(device, plan, form, BATCH, [])
    under = cutting.cells_under(grid, place)
    table = np.full(drawing.table_length, cutting.NOTHING, np.int64)
    blank = np.zeros(needs.level, np.bool_)
    drawing.table_of(offsets(plan, under, slots, blank), place.x, place.y, table)
    pool = cupy.random.randint(0, 256, (needs.most_at_once, plan.tile_bytes), dtype=cupy.uint8)
    out = cupy.empty(form.shape((BATCH, SIDE, SIDE, 3)), form.stored_dtype)
    given, fixed, taken = cupy.asarray(table), cupy.asarray(constants), list[float]()
    for _ in range(ROUNDS):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        drawing.draw(BATCH, pool, given, fixed, out)
        end.record()
        end.synchronize()
        taken.append(cupy.cuda.get_elapsed_time(begin, end))
    ms = statistics.median(taken[5:])
    moved = pool.nbytes + out.nbytes
    name = f"cut {read} to {SIDE} px as {form.dtype}, batch {BATCH}"
    return {"name": name, "us": round(1e3 * ms, 1), "gb_per_s": round(moved / ms / 1e6)}


def decoder_of(device: Any, kinds: Sequence[str]) -> tuple[Any, Any]:
    from nvidia import nvimgcodec

    backends = [nvimgcodec.Backend(getattr(nvimgcodec.BackendKind, kind)) for kind in kinds]
    options = ":fancy_upsampling=1"
    made = nvimgcodec.Decoder(device_id=device.index, backends=backends, options=options)
    return nvimgcodec, made


def codec(device: Any, args: argparse.Namespace) -> Iterator[Row]:
    every = [sample for kind in Kind for sample in samples(kind)]
    for kinds in (*((kind,) for kind in BACKENDS), BACKENDS):
        try:
            library, made = decoder_of(device, kinds)
        except RuntimeError as error:
            yield {"name": f"nvImageCodec {'+'.join(kinds)}", "not here": str(error)[:120]}
            continue
        for sample in every:
            for colours in ("SRGB", "SYCC"):
                for count in (1, BATCH):
                    yield against_host(library, made, kinds, sample, colours, count)
            yield damaged(library, made, kinds, sample)
    yield own_memory(device)
    yield proven(device)


def decoded(library: Any, made: Any, data: Sequence[bytes], colours: str, **kwargs: Any) -> Any:
    params = library.DecodeParams(
        apply_exif_orientation=False, color_spec=getattr(library.ColorSpec, colours)
    )
    return made.decode([library.CodeStream(d) for d in data], params=params, **kwargs)


def against_host(
    library: Any, made: Any, kinds: Sequence[str], sample: Any, colours: str, count: int
) -> Row:
    import cupy

    wanted = on_host(sample.encoding, sample.data)
    given = decoded(library, made, [sample.data] * count, colours)
    off = [np.abs(cupy.asarray(g).get().astype(int) - wanted) for g in given if g is not None]
    return {
        "name": f"nvImageCodec {'+'.join(kinds)} {colours} {sample.name} x{count}",
        "declined": count - len(off),
        "most_off": max((int(o.max()) for o in off), default=None),
        "mean_off": max((round(float(o.mean()), 3) for o in off), default=None),
    }


def damaged(library: Any, made: Any, kinds: Sequence[str], sample: Any) -> Row:
    shown = [decoded(library, made, [data], "SRGB")[0] is not None for data in damages(sample)]
    names = ("cut short", "holed in the middle")
    found = {name: "shown" if s else "declined" for name, s in zip(names, shown, strict=True)}
    return {"name": f"nvImageCodec {'+'.join(kinds)} damaged {sample.name}", **found}


def own_memory(device: Any) -> Row:
    """Does it decode into memory that another library allocated?  0.9 says that it does not."""
    import cupy

    library, made = decoder_of(device, BACKENDS)
    (sample, *_) = samples(Kind.JPEG)
    pool = cupy.full((BATCH, 256, 256, 3), 7, cupy.uint8)
    name = "nvImageCodec into memory of ours"
    try:
        images = [library.as_image(tile) for tile in pool]
        given = decoded(library, made, [sample.data] * BATCH, "SRGB", images=images)
        cupy.cuda.Device(device.index).synchronize()
    except (RuntimeError, ValueError, TypeError) as error:
        return {"name": name, "refused": str(error)[:200]}
    same = [
        g is not None and cupy.asarray(g).data.ptr == p.data.ptr
        for g, p in zip(given, pool, strict=True)
    ]
    return {"name": name, "written": bool((pool != 7).any()), "same_memory": all(same)}


def proven(device: Any) -> Row:
    """By the rules of a run."""
    from wsi_ai.inference.gpu.nvimagecodec import COLOURS, NvImageCodec
    from wsi_ai.inference.gpu.source import proven_kinds

    kinds = proven_kinds(device, lambda tile, how: NvImageCodec(device, tile, how), COLOURS)
    return {"name": "taken by a run", **{kind.value: how for kind, how in kinds.items()}}


def rates(device: Any, args: argparse.Namespace) -> Iterator[Row]:
    for path in sorted(p for p in args.slides.iterdir() if p.is_file()):
        try:
            yield from slide_rates(device, path)
        except WsiAiError as error:
            yield {"name": path.name, "not here": str(error)}


def slide_rates(device: Any, path: Path) -> Iterator[Row]:
    import cupy

    with open_slide(path, Spacing(0.5, 0.5)) as slide:
        level = slide.encoded_level(0)  # type: ignore[attr-defined]
        across = -(-level.size.width // level.encoding.tile.width)
        found = [level.encoded(n % across, n // across) for n in range(across * 8)]
        tiles = [data for data in found if data is not None]
    start = time.perf_counter()
    for data in tiles[:BATCH]:
        on_host(level.encoding, data)
    host = len(tiles[:BATCH]) / (time.perf_counter() - start)
    yield {"name": f"{path.suffix}: one core of the host", "stored_tiles_per_s": round(host)}
    for kinds in (*((kind,) for kind in BACKENDS), BACKENDS):
        library, made = decoder_of(device, kinds)
        for count in (32, 128, 512):
            data, taken, given = (tiles * (count // len(tiles) + 1))[:count], list[float](), []
            for _ in range(8):
                start = time.perf_counter()
                given = decoded(library, made, data, "SRGB")
                cupy.cuda.Device(device.index).synchronize()
                taken.append(time.perf_counter() - start)
            rate = sum(g is not None for g in given) / statistics.median(taken[2:])
            name = f"{path.suffix}: {'+'.join(kinds)} x{count}"
            yield {"name": name, "stored_tiles_per_s": round(rate)}


STAGES = {"kernel": kernel, "codec": codec, "rates": rates}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--slides", type=Path, default=Path("../shared/data/slides"))
    args = parser.parse_args()
    try:
        from wsi_ai.inference.gpu.cuda import open_device

        device = open_device(args.device)
        for row in STAGES[args.stage](device, args):
            print(json.dumps(row), flush=True)
    except ImportError as error:
        print(f"{args.stage}: not here: {error.name} is not installed", file=sys.stderr)
        return 3
    except DeviceError as error:
        print(f"{args.stage}: not here: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
