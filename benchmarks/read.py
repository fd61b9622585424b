"""How fast slides are read, as a share of the codec's own limit, beside the peers.

    ../peers/reading/bin/python benchmarks/read.py BIG.svs [--jpeg2000 J2K.svs] [--dicom FOLDER]
        [--large LARGE.svs] [--alone] [--json]

Each slide has a tissue mask beside it, SLIDE.mask16.npy; without one, all of it is read.  Figures
are medians over rounds; see ``wsi_ai.bench.rounds``.  The limit: every stored tile that the plan
needs, decoded once by the same library into kept buffers by the same number of threads, and
nothing else.  The bound, in processor seconds: the same, and the plan's own resampling in kept
memory.  Peers that are not installed are null: benchmarks/install_peers.sh makes an environment
that has all of them.  In the row of the cold cache, whoever reads finds
none of the slide's pages in memory (``posix_fadvise``).  The last row is the time from opening
LARGE.svs to its first batch, all of its tiles planned, without and with its pages in memory.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import BATCH, WORKERS, Job, dicom_peers, installed

from wsi_ai.bench.decoding import decoding_once, reading
from wsi_ai.bench.rounds import Ratios, alternate
from wsi_ai.core.cards import Resampling, TileSpec
from wsi_ai.core.contracts import EncodedSlide
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import Codec, SlideInfo, TilePlan
from wsi_ai.slides.codecs import decode_buffer
from wsi_ai.slides.readers.dicom import reader as dicom
from wsi_ai.slides.readers.tiff import reader as tiff
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tiles.reading.host import placement
from wsi_ai.tiles.reading.reduced import ReducedLevel, reduced_level
from wsi_ai.tiles.reading.schedule import Room, schedule
from wsi_ai.tiles.reading.shrink import shrinker


@dataclass(frozen=True)
class Pattern:
    """Tiles of ``size_px`` at ``scale`` times the slide's µm/px, the grid moved by ``shift``."""

    name: str
    size_px: int
    scale: float = 1.0
    resampling: Resampling = Resampling.AREA
    shift: tuple[int, int] = (0, 0)


PATTERNS = (
    Pattern("256 px, aligned", 256),
    Pattern("256 px, not aligned", 256, shift=(100, 77)),
    Pattern("224 px, the slide's own um/px", 224),
    Pattern("224 px, 2x um/px, not stored", 224, scale=2.0),
    Pattern("224 px, 1.87x um/px", 224, scale=1.87),
    Pattern("224 px, 2x um/px, dct", 224, scale=2.0, resampling=Resampling.DCT),
)
OWN_SCALE = PATTERNS[2]
COLD = replace(OWN_SCALE, name="224 px, cold cache")


@dataclass(frozen=True)
class Shifted(TilePlan):
    """A plan whose grid does not begin in the slide's corner."""

    shift: tuple[int, int] = (0, 0)

    def corners(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        x, y = super().corners(start, stop)
        return x + self.shift[0], y + self.shift[1]


def plan(info: SlideInfo, path: Path, pattern: Pattern, most: int) -> TilePlan:
    """Tiles whose centre lies in tissue, in row order, from the middle of the slide."""
    info = replace(info, spacing=info.spacing or Spacing(0.5, 0.5))
    um = info.known_spacing().x_um
    size = pattern.size_px
    spec = TileSpec(size, um * pattern.scale, size, resampling=pattern.resampling)
    whole = plan_tiles(info, np.ones((1, 1), np.bool_), spec)
    cells = whole.cells[np.lexsort((whole.cells[:, 1], whole.cells[:, 0]))]
    mask = Path(f"{path}.mask16.npy")
    if mask.exists():
        tissue = np.load(mask)
        centre = (cells + 0.5) * (whole.step.y, whole.step.x)
        at = (centre * tissue.shape / (info.size.height, info.size.width)).astype(int)
        at = np.minimum(at, np.array(tissue.shape) - 1)
        inside = (centre + pattern.size_px * 2 < (info.size.height, info.size.width)).all(1)
        cells = cells[tissue[at[:, 0], at[:, 1]] & inside]
    middle = max(0, (len(cells) - most) // 2)
    return Shifted(
        info,
        spec,
        whole.level,
        whole.read_px,
        cells[middle : middle + most],
        whole.grid,
        whole.step,
        shift=pattern.shift,
    )


def bound(slide: EncodedSlide, plan: TilePlan) -> Callable[[], int]:
    """The limit, and resample the pixels of each tile, in kept memory: no copies, no batches."""
    level, side = slide.encoded_level(plan.level), plan.spec.size_px
    seen = reduced_level(level, placement(plan, 0, level.corner), plan.spec)
    read, own = seen.placement.size, threading.local()
    if read == Size(side, side):
        return by_hand(seen, lambda: None, len(plan))
    shrink = shrinker(read, Size(side, side))

    def resample() -> None:
        if not hasattr(own, "pixels"):
            own.pixels = np.full((read.height, read.width, 3), 128, np.uint8)
            own.out = np.empty((side, side, 3), np.uint8)
        shrink(own.pixels, own.out)

    return by_hand(seen, resample, len(plan))


def by_hand(seen: ReducedLevel, resample: Callable[[], None], tiles: int) -> Callable[[], int]:
    """Fetch each stored tile once, and resample that number of tiles, in ``WORKERS`` threads."""
    jobs = schedule(seen.grid, seen.placement, Room(tiles, 1, 0)).jobs
    kept = [decode_buffer(seen.grid.tile) for _ in range(WORKERS)]

    def run() -> int:
        todo, left = iter(jobs), iter(range(tiles))

        def work(out: NDArray[np.uint8]) -> None:
            for job in todo:
                seen.fetch(job.col, job.row, out)
            for _ in left:
                resample()

        threads = [threading.Thread(target=work, args=(out,)) for out in kept]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(jobs)

    return run


def measure(path: Path, pattern: Pattern, args: argparse.Namespace) -> dict[str, Any]:
    """One pattern's line."""
    with open_stored(path) as slide:
        wanted = plan(slide.info, path, pattern, args.tiles)
        job = Job(
            str(path),
            wanted.level,
            wanted.slide.downsamples[wanted.level],
            np.stack(wanted.corners(0, len(wanted)), axis=1),
            wanted.read_px.width,
            pattern.size_px,
        )
        readers = {
            "ours": reading(slide, wanted, BATCH, WORKERS),
            "bound": bound(slide, wanted),
        }
        peers = {} if args.alone else dicom_peers() if path.is_dir() else installed()
        if slide.encoded_level(0).encoding.codec is Codec.JPEG2000:
            peers.pop("pyvips", None)  # its wheel does not decode Aperio's
        readers |= {name: partial(read, job) for name, read in peers.items()}
        forget = partial(drop_pages, path) if pattern is COLD else lambda: None
        found = alternate(
            decoding_once(slide, wanted, WORKERS), readers, args.rounds, args.tries, forget
        )
    line = {"pattern": pattern.name, "tiles": len(wanted), **ratios(found)}
    return {**line, "peak_mib": peak_mib(path, pattern, args)}


def ratios(found: dict[str, Ratios]) -> dict[str, Any]:
    """Each peer against ours, by way of the limit that was measured beside each."""
    own, bare = found.pop("ours"), found.pop("bound")
    against = {name: round(own.of_limit / peer.of_limit, 2) for name, peer in found.items()}
    best = min(against, key=against.__getitem__, default=None)
    return {
        "of_limit": round(own.of_limit, 3),
        "of_limit_cpu": round(own.of_limit_cpu, 3),
        "of_limit_cpu_from_to": [round(share, 3) for share in own.spread_cpu],
        "of_bound_cpu": round(own.of_limit_cpu / bare.of_limit_cpu, 3),
        "vs_openslide": against.get("openslide"),
        "vs_cucim": against.get("cucim"),
        "vs_best_peer": against.get(best or ""),
        "best_peer": best,
        "vs": against,
        "seconds": round(median(t.wall for t in own.own), 3),
        "rounds": len(own.own),
        "loaded": sum(r.loaded for r in (own, *found.values())),
    }


def peak_mib(path: Path, pattern: Pattern, args: argparse.Namespace) -> int:
    """Most memory that a process of its own takes for our reader."""
    words = [str(path), "--only", pattern.name, "--tiles", str(args.tiles)]
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


def only(path: Path, pattern: Pattern, most: int) -> None:
    """Read with ours and print the peak."""
    with open_stored(path) as slide:
        reading(slide, plan(slide.info, path, pattern, most), BATCH, WORKERS)()
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)


def drop_pages(path: Path) -> None:
    """Nothing of a slide stays in the page cache, but for what someone maps."""
    for file in [path] if path.is_file() else path.iterdir():
        fd = os.open(file, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def first_batch(path: Path, rounds: int) -> dict[str, Any]:
    """From opening to the first batch of all tiles, in the pipeline's order."""
    found: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    for _ in range(rounds):
        drop_pages(path)
        for times in found.values():
            start = time.perf_counter()
            with open_stored(path) as slide:
                opened, um = time.perf_counter() - start, slide.info.known_spacing().x_um
                whole = plan_tiles(slide.info, np.ones((1, 1), np.bool_), TileSpec(224, um, 224))
                batches = HostTiles(BATCH, WORKERS)(slide, whole, 0)
                next(batches)
                times.append((opened, time.perf_counter() - start))
                batches.close()
    line = {"pattern": f"first batch, {whole.slide.size.width:,} px", "tiles": len(whole)}
    for name, times in found.items():
        opened, all_of_it = (round(median(part), 3) for part in zip(*times, strict=True))
        line |= {f"{name}_s": all_of_it, f"{name}_opening_s": opened}
    return line


def open_stored(path: Path) -> EncodedSlide:
    return dicom.open_slide(path) if path.is_dir() else tiff.open_slide(path)


def machine() -> str:
    """Processor and versions, in one line."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    names = (
        "simplejpeg",
        "imagecodecs",
        "opencv-python-headless",
        "openslide-bin",
        "torch",
        "cucim-cu12",
        "pyvips-binary",
        "fastslide",
        "tiffslide",
    )
    return f"{cpu}, {os.cpu_count()} processors, Python {platform.python_version()}; " + ", ".join(
        f"{name} {_version(name)}" for name in names
    )


HEAD = f"{'':30} {'of limit':>8} {'in cpu s':>8} {'from to':>11} {'of bound':>8} {'tiles/s':>8}"
HEAD += f" {'openslide':>9} {'cucim':>6}"
HEAD += f" {'best peer':>16} {'peak MiB':>8} {'loaded':>6}"


def row(line: dict[str, Any]) -> str:
    def times(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}x"

    best = f"{times(line['vs_best_peer'])} {line['best_peer'] or ''}"
    spread = " ".join(f"{share:.2f}" for share in line["of_limit_cpu_from_to"])
    return (
        f"{line['pattern']:30} {line['of_limit']:8.2f} {line['of_limit_cpu']:8.2f}"
        f" {spread:>11} {line['of_bound_cpu']:8.2f}"
        f" {line['tiles'] / line['seconds']:8.0f} {times(line['vs_openslide']):>9}"
        f" {times(line['vs_cucim']):>6} {best:>16} {line['peak_mib']:8} {line['loaded']:6}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--jpeg2000", type=Path)
    parser.add_argument("--dicom", type=Path, help="a folder")
    parser.add_argument("--large", type=Path, help="a slide of 100,000 px")
    parser.add_argument("--tiles", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        known = {p.name: p for p in PATTERNS}
        only(args.slide, known.get(args.only, OWN_SCALE), args.tiles)
        return
    todo = [(args.slide, pattern) for pattern in (*PATTERNS, COLD)]
    for path, name in ((args.jpeg2000, "JPEG 2000, 224 px"), (args.dicom, "DICOM JPEG, 224 px")):
        todo += [(path, replace(OWN_SCALE, name=name))] if path else []
    if not args.json:
        print(f"{machine()}\n{HEAD}", flush=True)
    for path, pattern in todo:
        line = measure(path, pattern, args)
        print(json.dumps(line) if args.json else row(line), flush=True)
    if args.large:
        line = first_batch(args.large, args.rounds)
        text = f"{line['pattern']:30}" + ",".join(
            f" {line[f'{cache}_s']:.2f} s with a {cache} cache"
            f" ({line[f'{cache}_opening_s']:.2f} of it opening and SHA-256)"
            for cache in ("cold", "warm")
        )
        print(json.dumps(line) if args.json else text, flush=True)


if __name__ == "__main__":
    main()
