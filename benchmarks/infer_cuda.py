"""Tiles per second of the CUDA runtimes, beside eager PyTorch on the same device.

    python benchmarks/infer_cuda.py [--device cuda:0] [--rounds 5] [--batches 64 128 256] [--json]

ResNet-18, ResNet-50 and ViT-S/16 with random weights, at 224 px.  Ours takes uint8 tiles in host
memory and gives scores there; eager PyTorch is given a float batch that is on the device already.
Variants alternate within each round; medians.  What cannot be had says why, and has no figure.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import networks
import numpy as np
import torch

from wsi_ai.core.cards import Precision, RuntimeRequest
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import WsiAiError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card

REPEATS = 40
TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Run = Callable[[], int]
"""Runs a while, and says how many tiles that were."""


def variants(network: networks.Network, device: str, batch: int) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for precision in (Precision.FP32, Precision.FP16, Precision.BF16):
        found[f"torch eager {precision}"] = eager(network.module, device, batch, precision)
        for name, model in (("onnx", network.onnx), ("pt2", network.pt2)):
            try:
                run, description = ours(model, RuntimeRequest(device, precision, batch))
            except WsiAiError as error:
                print(f"{network.name} {name} {precision}: not here: {error}", file=sys.stderr)
            else:
                found[f"{name} {description}"] = run
    return found


def ours(model: Path, request: RuntimeRequest) -> tuple[Run, str]:
    runtime = open_runtime(load_card(model), request)
    size = runtime.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (size, 224, 224, 3), np.uint8)

    def batches() -> Iterator[TileBatch]:
        for _ in range(REPEATS):
            yield TileBatch("bench", np.arange(size), pixels)

    def run() -> int:
        return sum(len(predicted.index) for predicted in runtime.predict(batches()))

    return run, f"{runtime.description} batch {size}"


def eager(module: torch.nn.Module, device: str, batch: int, precision: str) -> Run:
    there = module.to(device).to(memory_format=torch.channels_last)
    tiles = torch.randn(batch, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    enabled = precision != "fp32"

    def run() -> int:
        with torch.inference_mode(), torch.autocast("cuda", TYPES[precision], enabled=enabled):
            for _ in range(REPEATS):
                there(tiles)
        torch.cuda.synchronize(device)
        return batch * REPEATS

    return run


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Tiles per second, one figure a round; the order turns from round to round."""
    for run in runs.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            tiles = runs[name]()
            rates[name].append(tiles / (time.perf_counter() - start))
    return rates


def rows(network: str, rates: dict[str, list[float]]) -> Iterator[dict[str, object]]:
    """Each a median over rounds of the ratio to eager PyTorch in the same precision."""
    for name, own in rates.items():
        precision = next(p for p in TYPES if p in name)
        base = rates[f"torch eager {precision}"]
        yield {
            "name": f"{network}: {name} / torch eager {precision}",
            "ratio": round(statistics.median(a / b for a, b in zip(own, base, strict=True)), 3),
            "target": None,
            "tiles_per_s": round(statistics.median(own), 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--networks", nargs="+", choices=networks.NAMES, default=networks.NAMES)
    parser.add_argument("--json", action="store_true", help="print one JSON line per row")
    args = parser.parse_args()
    print(f"{torch.cuda.get_device_name(args.device)}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks:
            network = networks.make_network(name, Path(folder))
            for batch in args.batches:
                for row in rows(name, measure(variants(network, args.device, batch), args.rounds)):
                    row = {**row, "batch": batch}
                    text = f"{row['name']:<90} {row['ratio']:>7} {row['tiles_per_s']:>9} tiles/s"
                    print(json.dumps(row) if args.json else text, flush=True)


if __name__ == "__main__":
    main()
