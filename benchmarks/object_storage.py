"""Slides in a store: are they the same, how many requests do they take, and how fast are they?

    python benchmarks/object_storage.py SLIDE... [--folder /dev/shm] [--latency-ms 0 20]

A store on loopback in a process of its own, once without and once with 20 ms a request.  A line of
JSON for each slide and way of reading; the last ones are of copying one large object.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing as mp
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import obstore

from wsi_ai.app import RunOptions, run_slides
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Spacing
from wsi_ai.results.slide import Pages
from wsi_ai.slides.places import ReaderIo
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.stores.address import object_address
from wsi_ai.slides.stores.opening import copied
from wsi_ai.slides.stores.store import open_store
from wsi_ai.testing import object_store
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles

SIDE, BATCH, THREADS, ROUNDS = 256, 64, 2, 5
BLOCK = 8
"""Cells along a side, in which the plan visits a slide that is not large: see ``planning``."""
RANGE, AT_ONCE = 16 << 20, 8


def serve(pipe: Connection, latency_s: float) -> None:
    """Puts what it is sent, and counts what it is asked."""
    with object_store() as store:
        pipe.send(store.url)
        while (said := pipe.recv()) is not None:
            if isinstance(said, tuple):
                store.put(*said)
                store.faults.latency_s = latency_s
            pipe.send(store.counted("GET"))


@dataclass(frozen=True)
class Store:
    """A server, and where its slides are copied to."""

    pipe: Connection
    folder: Path
    latency_ms: int

    def put(self, place: str, content: bytes) -> None:
        self.pipe.send((place, content))
        self.pipe.recv()

    def requests(self) -> int:
        self.pipe.send("count")
        return int(self.pipe.recv())


@contextlib.contextmanager
def serving(latency_s: float, folder: Path) -> Iterator[Store]:
    ours, theirs = mp.Pipe()
    server = mp.get_context("spawn").Process(target=serve, args=(theirs, latency_s), daemon=True)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": ours.recv(),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "eu-west-2",
        "WSI_AI_STAGING": str(folder / "staging"),
        "WSI_AI_SCRATCH": str(folder / "scratch"),
    }
    try:
        yield Store(ours, folder, round(latency_s * 1000))
    finally:
        ours.send(None)
        server.join()


def every_tile(slide: Slide) -> tuple[str, int, int, float]:
    """A digest of all tiles at the slide's own scale; tiles read, blocks of the plan, seconds."""
    info = slide.info
    um = (info.spacing or Spacing(0.5, 0.5)).x_um
    tissue = np.ones((64, 64), np.bool_)
    spaced = info if info.spacing else replace(info, spacing=Spacing(um, um))
    plan = plan_tiles(spaced, tissue, TileSpec(size_px=SIDE, mpp=um, stride_px=SIDE))
    digest, read, start = hashlib.sha256(), 0, time.perf_counter()
    for batch in HostTiles(BATCH, THREADS)(slide, plan, 0):
        digest.update(np.ascontiguousarray(batch.pixels))
        read += len(batch.index)
    seconds = time.perf_counter() - start
    blocks = len({(row // BLOCK, col // BLOCK) for row, col in plan.cells.tolist()})
    return digest.hexdigest(), read, blocks, seconds


def flag_of(slide: Path, model: Path, out: Path, reader_io: ReaderIo) -> dict[str, object]:
    """Without its times."""
    shutil.rmtree(out, ignore_errors=True)
    options = RunOptions(pages=Pages.NONE, reader_io=reader_io, mpp=0.5)
    (outcome,) = run_slides([slide], model, out, options)
    flag: dict[str, object] = json.loads(((outcome.folder or out) / "flag.json").read_text())
    return {name: part for name, part in flag.items() if name != "timestamps"}


def compared(slide: Path, model: Path, store: "Store") -> Iterator[dict[str, object]]:
    """Each way of reading in turns with the disk; rates are medians of the rounds."""
    at = Path(f"s3://slides/{slide.name}")
    flag = flag_of(slide, model, store.folder / "out", ReaderIo.STAGING)
    for reader_io in ReaderIo:
        ratios, rates, answers = list[float](), list[float](), set[tuple[str, str]]()
        for _ in range(ROUNDS):
            shutil.rmtree(store.folder / "staging", ignore_errors=True)
            with open_slide(slide) as here:
                digest, read, blocks, disk_s = every_tile(here)
                answers.add((here.info.fingerprint, digest))
            start = time.perf_counter()
            with open_slide(at, reader_io=reader_io) as there:
                opened_s, before = time.perf_counter() - start, store.requests()
                digest, read_there, _, seconds = every_tile(there)
                asked = store.requests() - before
                answers.add((there.info.fingerprint, digest))
            ratios.append(disk_s / seconds)
            rates.append(read / seconds)
        yield {
            "slide": slide.name,
            "reader_io": reader_io.value,
            "latency_ms": store.latency_ms,
            "tiles": read,
            "pixels_and_fingerprint_equal": len(answers) == 1 and read == read_there,
            "flag_equal": flag_of(at, model, store.folder / "out", reader_io) == flag,
            "requests": asked,
            "requests_a_block": round(asked / blocks, 2),
            "opened_s": round(opened_s, 3),
            "tiles_a_s": round(median(rates)),
            "of_disk": round(median(ratios), 2),
        }


def plain(key: str, size: int, path: Path) -> float:
    """What a simple program does: ranges in parallel, each written to its place."""
    store = open_store(object_address("s3://slides"))
    start = time.perf_counter()
    with path.open("wb") as file, ThreadPoolExecutor(AT_ONCE) as pool:
        file.truncate(size)

        def fetch(at: int) -> None:
            data = obstore.get_range(store, key, start=at, end=min(at + RANGE, size))
            os.pwrite(file.fileno(), data, at)

        list(pool.map(fetch, range(0, size, RANGE)))
        os.fsync(file.fileno())
    return time.perf_counter() - start


def copying(mega: int, store: "Store") -> dict[str, object]:
    """In turns; medians."""
    content = np.random.default_rng(0).bytes(mega << 20)
    store.put("slides/large.bin", content)
    address, ratios, rates = object_address("s3://slides/large.bin"), list[float](), list[float]()
    for _ in range(ROUNDS):
        plain_s = plain("large.bin", len(content), store.folder / "plain")
        (store.folder / "plain").unlink()
        shutil.rmtree(store.folder / "staging", ignore_errors=True)
        start = time.perf_counter()
        copied(open_store(address), address).close()
        seconds = time.perf_counter() - start
        ratios.append(plain_s / seconds)
        rates.append(mega / seconds)
    return {
        "copied_mb": mega,
        "latency_ms": store.latency_ms,
        "staging_mb_a_s": round(median(rates)),
        "of_plain": round(median(ratios), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, default=Path("models/demo-tumour"))
    parser.add_argument("--large-mb", type=int, default=256)
    parser.add_argument("--latency-ms", type=int, nargs="+", default=[0, 20])
    parser.add_argument("--folder", type=Path, help="Where copies go: not the slow disk.")
    asked = parser.parse_args()
    for latency_s in (ms / 1000 for ms in asked.latency_ms):
        with (
            tempfile.TemporaryDirectory(dir=asked.folder) as name,
            serving(latency_s, Path(name)) as store,
        ):
            for slide in asked.slides:
                store.put(f"slides/{slide.name}", slide.read_bytes())
                for line in compared(slide, asked.model, store):
                    print(json.dumps(line), flush=True)
            print(json.dumps(copying(asked.large_mb, store)), flush=True)


if __name__ == "__main__":
    main()
