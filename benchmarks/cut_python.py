"""What a batch of tiles costs the host when they are cut on a device: Python's time and memory.

    python benchmarks/cut_python.py [--batch 128] [--json]

Needs no device: one that takes every call and does nothing stands in for it, and decoding is one
call a batch, so that what is left is ours.  A slide of 100,000 px, read with and without shrinking.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from wsi_ai.core.cards import TileSpec
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import Codec, Encoding, SlideInfo
from wsi_ai.inference.gpu.cutting import Form
from wsi_ai.inference.gpu.decoded_tiles import DeviceTiles
from wsi_ai.inference.gpu.proof import on_host
from wsi_ai.tiles.planning import plan_tiles

SIDE_PX, STORED = 100_000, Size(256, 256)
MIB = 1 << 20


class Nothing:
    """A stream, or an event."""

    def wait(self, event: object) -> None: ...
    def record(self, stream: object) -> None: ...
    def synchronize(self) -> None: ...
    def close(self) -> None: ...


class NoDevice:
    """Takes every call.  Device memory is only counted."""

    def __init__(self) -> None:
        self.device_bytes = 0
        self.launches = 0

    def alloc(self, shape: Sequence[int], dtype: Any) -> Any:
        self.device_bytes += int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.empty((shape[0], 0), dtype)

    def alloc_pinned(self, shape: Sequence[int], dtype: Any) -> Any:
        return np.empty(tuple(shape), dtype)

    def rows(self, buffer: Any) -> list[Any]:
        return list(buffer)

    def free(self, buffer: Any) -> None: ...
    def copy_async(self, dst: Any, src: Any, stream: Any) -> None: ...

    @contextmanager
    def host(self, buffer: Any, *, write: bool) -> Iterator[Any]:
        yield buffer

    def stream(self, name: str) -> Nothing:
        return Nothing()

    def event(self) -> Nothing:
        return Nothing()

    def module(self, source: str, name: str, options: Sequence[str]) -> Any:
        return self._launch

    def _launch(self, *args: Any) -> None:
        self.launches += 1


class Level:
    size, corner = Size(SIDE_PX, SIDE_PX), (0, 0)
    encoding = Encoding(Codec.JPEG, STORED)

    def encoded(self, col: int, row: int) -> bytes:
        return b"x"


def takes_all(encoded: Sequence[bytes], into: Sequence[Any], stream: Any) -> list[bool]:
    return [True] * len(encoded)


def measured(scale: float, batch: int, batches: int = 200) -> dict[str, Any]:
    """Medians over some batches of one core's time, from a row's beginning on."""
    info = SlideInfo("s", Level.size, Spacing(0.5, 0.5), (1.0,), "f" * 64)
    plan = plan_tiles(info, np.ones((8, 8), np.bool_), TileSpec(224, 0.5 * scale, 224))
    device: Any = NoDevice()
    tiles = DeviceTiles(device, on_host, Form(), batch, 1)
    began = time.perf_counter()
    walk = tiles.batches(Level(), plan, 0, takes_all)  # type: ignore[arg-type]
    next(walk)
    opened, taken = time.perf_counter() - began, list[float]()
    for _ in range(batches):
        start = time.thread_time()
        found = list(islice(walk, 1))
        taken.append(time.thread_time() - start)
        if not found:
            break
        found[0].pixels.kernel(np.zeros(9999, np.int64), np.zeros(99999, np.int32), None)  # type: ignore[attr-defined]
    launches = device.launches
    walk.close()
    return {
        "name": f"cut on a device, {scale}x, batch {batch}",
        "python_ms_a_batch": round(1e3 * statistics.median(taken), 3),
        "launches_a_batch": launches / max(1, len(taken)),
        "first_batch_s": round(opened, 2),
        "device_mib": round(device.device_bytes / MIB),
        "slide_px": SIDE_PX,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--json", action="store_true", help="print one JSON line per row")
    args = parser.parse_args()
    for scale in (1.0, 2.0, 1.87, 4.0):
        row = measured(scale, args.batch)
        print(json.dumps(row) if args.json else "  ".join(f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
