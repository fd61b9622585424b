"""Tiles a second end to end, from a slide's file to scores, on a CUDA device, beside WSInfer's way.

    python benchmarks/device_figures.py --slides FOLDER [--networks resnet18 ...] [--seconds 20]

Ours: the runtime and its own source, in fp16.  WSInfer's way: OpenSlide regions in a DataLoader,
eager PyTorch in fp16 autocast, as WSInfer 0.6 reads and runs.  "limit" is the same runtime on the
same batch of pixels again and again; a gap is the time from one batch's scores to the next.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import networks
import numpy as np
import torch

from wsi_ai.core.cards import Precision, RuntimeRequest
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import WsiAiError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.planning import plan_tiles

Row = dict[str, Any]


def timed(batches: Iterator[int], seconds: float) -> Row:
    """Rate and longest gap after the first three, which warm up."""
    moments, tiles = list[float](), list[int]()
    for count in batches:
        moments.append(time.perf_counter())
        tiles.append(count)
        if len(moments) > 4 and moments[-1] - moments[2] > seconds:
            break
    if len(moments) < 5:
        return {"batches": len(moments), "note": "too few batches for a figure"}
    gaps = np.diff(moments[2:])
    return {
        "tiles_per_s": round(sum(tiles[3:]) / (moments[-1] - moments[2]), 1),
        "batch_ms": round(1e3 * statistics.median(gaps), 2),
        "longest_gap_ms": round(1e3 * float(gaps.max()), 2),
    }


def ours(model: Path, slides: list[Path], device: str, seconds: float) -> Iterator[Row]:
    request = RuntimeRequest(device, Precision.FP16, trust_pickle=True)
    runtime = open_runtime(load_card(model), request)
    source: Any = runtime.source(len(os.sched_getaffinity(0)))  # type: ignore[attr-defined]
    size = runtime.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (size, 224, 224, 3), np.uint8)
    again = (TileBatch("same", np.arange(size), pixels) for _ in iter(int, 1))
    limit = timed((len(p.index) for p in runtime.predict(again)), seconds / 2)
    yield {"name": f"{runtime.description}: limit", **limit}
    for path in slides:
        with open_slide(path, Spacing(0.5, 0.5)) as slide:
            plan = plan_tiles(slide.info, np.ones((4, 4), np.bool_), runtime.card.tile)
            decoders = list[str | None]()
            rounds = (
                len(p.index)
                for _ in range(1000)
                for p in runtime.predict(_noted(source(slide, plan, 0), decoders))
            )
            row = timed(rounds, seconds)
        share = row.get("tiles_per_s", 0) / limit.get("tiles_per_s", float("inf"))
        yield {
            "name": f"{runtime.description}: from a {path.suffix} file",
            **row,
            "share_of_limit": round(share, 3),
            "decoded_by": decoders[0],
        }


def _noted(batches: Iterator[TileBatch], decoders: list[str | None]) -> Iterator[TileBatch]:
    for batch in batches:
        decoders.append(batch.decoded_by)
        yield batch


class Regions(torch.utils.data.Dataset[Any]):
    """As WSInfer 0.6: a region of level 0, its alpha dropped, resized by Pillow."""

    def __init__(self, path: Path) -> None:
        import openslide

        with openslide.OpenSlide(str(path)) as slide:
            width, height = slide.dimensions
        self.path, self.slide = path, None
        self.corners = [(x, y) for y in range(0, height, 224) for x in range(0, width, 224)] * 50

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, n: int) -> torch.Tensor:
        import openslide

        if self.slide is None:
            self.slide = openslide.OpenSlide(str(self.path))
        tile = self.slide.read_region(self.corners[n], 0, (224, 224)).convert("RGB")  # type: ignore[attr-defined]
        pixels = torch.from_numpy(np.asarray(tile)).permute(2, 0, 1).float() / 255
        return (pixels - torch.tensor(networks.MEAN)[:, None, None]) / torch.tensor(networks.STD)[
            :, None, None
        ]


def wsinfers_way(module: Any, path: Path, device: str, seconds: float) -> Row:
    there, cores = module.to(device), len(os.sched_getaffinity(0))
    loader = torch.utils.data.DataLoader(Regions(path), 64, num_workers=cores)

    def run() -> Iterator[int]:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            for batch in loader:
                yield len(there(batch.to(device)).float().cpu())

    return {"name": f"WSInfer's way: from a {path.suffix} file", **timed(run(), seconds)}


def rows(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    slides = sorted(p for p in args.slides.iterdir() if p.is_file())
    for name in args.networks:
        network = networks.make_network(name, folder)
        for kind, model in (("pt2", network.pt2), ("onnx", network.onnx)):
            try:
                for row in ours(model, slides, args.device, args.seconds):
                    yield {"network": name, "format": kind, **row}
            except WsiAiError as error:
                yield {"network": name, "format": kind, "not here": str(error)}
        for path in islice(slides, 1):
            yield {
                "network": name,
                **wsinfers_way(network.module, path, args.device, args.seconds),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--slides", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=networks.NAMES, default=networks.NAMES)
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    print(torch.cuda.get_device_name(args.device), file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(args, Path(folder)):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
