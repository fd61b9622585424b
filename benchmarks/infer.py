"""Tiles per second of the host's runtimes, beside what each library reaches alone.

    python benchmarks/infer.py [--rounds 5] [--networks resnet18 ...] [--json]

ResNet-18, ResNet-50 and ViT-S/16 with random weights, at 224 px, batch 32, fp32 and int8, on all
cores at hand.  Ours takes uint8 tiles and gives scores; the others are given a float batch that is
ready, and nothing is asked of what they return.  Variants alternate within each round; medians.
What bounds all of them: matrix products of as many multiplications and additions as the network
has, by NumPy's BLAS in fp32.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import onnxruntime as ort
import openvino as ov
import torch
from torch.utils.flop_counter import FlopCounterMode

from wsi_ai.bench.limits import products
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.values import TileBatch
from wsi_ai.inference.onnx.quantize import quantize
from wsi_ai.inference.scoring import prepare
from wsi_ai.models.fastest.open_fastest import open_fastest
from wsi_ai.models.manifest import load_card

BATCH, REST_S = 32, 0.1
OURS, OURS_OPENVINO, OURS_TORCH = "wsi_ai auto", "wsi_ai openvino", "wsi_ai torch"
OURS_ORT = "wsi_ai onnxruntime"
OURS_INT8, OURS_ORT_INT8 = "wsi_ai auto int8", "wsi_ai onnxruntime int8"
OURS_OPENVINO_INT8 = "wsi_ai openvino int8"
EAGER, CHANNELS, SESSION, OPENVINO = "torch eager", "torch channels-last", "onnxruntime", "openvino"
PRODUCTS = "matrix products"
Run = Callable[[], object]


def variants(network: networks.Network, pixels: np.ndarray) -> dict[str, Run]:
    card = load_card(network.onnx)
    tiles, quantised = prepare(pixels, card), in_int8(card, pixels)
    return {
        EAGER: eager(network.module, torch.from_numpy(tiles)),
        SESSION: session(card.weights, tiles),
        OURS: ours(card, RuntimeRequest("auto"), pixels),
        OPENVINO: compiled(card.weights, tiles),
        OURS_ORT: ours(card, RuntimeRequest("cpu"), pixels),
        OURS_OPENVINO: ours(card, RuntimeRequest("openvino"), pixels),
        OURS_INT8: ours(quantised, RuntimeRequest("auto", Precision.INT8), pixels),
        OURS_ORT_INT8: ours(quantised, RuntimeRequest("cpu", Precision.INT8), pixels),
        OURS_OPENVINO_INT8: ours(quantised, RuntimeRequest("openvino", Precision.INT8), pixels),
        CHANNELS: eager(
            network.module, torch.from_numpy(tiles).to(memory_format=torch.channels_last)
        ),
        OURS_TORCH: ours(load_card(network.pt2), RuntimeRequest("cpu"), pixels),
        PRODUCTS: products(operations(network.module, torch.from_numpy(tiles))),
    }


def in_int8(card: ModelCard, pixels: np.ndarray) -> ModelCard:
    """Quantised by the code of ``models optimize``; on noise, for only the speed is asked here."""
    weights = card.weights.with_suffix(".int8.onnx")
    quantize(card, pixels, weights)
    ref = replace(card.ref, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    return replace(card, ref=ref, weights=weights, precision=Precision.INT8)


def ours(card: ModelCard, request: RuntimeRequest, pixels: np.ndarray) -> Run:
    runtime = open_fastest(card, request)
    batch = TileBatch("bench", np.arange(len(pixels)), pixels)
    return lambda: list(runtime.predict([batch]))


def eager(module: torch.nn.Module, tiles: torch.Tensor) -> Run:
    """Weights stay as they are: each variant is given the memory order of its tiles."""

    def run() -> object:
        with torch.inference_mode():
            return module(tiles)

    return run


def operations(module: torch.nn.Module, tiles: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        module(tiles)
    return float(counted.get_total_flops())


def session(path: Path, tiles: np.ndarray) -> Run:
    """A session tuned by hand: all cores, all optimisations, a fixed batch."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = cores()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("n", BATCH)
    options.log_severity_level = 4
    opened = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = opened.get_inputs()[0].name
    return lambda: opened.run(None, {name: tiles})


def compiled(path: Path, tiles: np.ndarray) -> Run:
    """A network compiled by hand: all cores, one stream, a fixed batch, fp32."""
    core = ov.Core()
    model = core.read_model(path)
    model.reshape(list(tiles.shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cores()}
    request = core.compile_model(
        model, "CPU", {**settings, "PERFORMANCE_HINT": "LATENCY"}
    ).create_infer_request()
    return lambda: request.infer([tiles], share_inputs=True)


def cores() -> int:
    return len(os.sched_getaffinity(0))


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Tiles per second, one figure a round; the order is turned round from round to round."""
    for run in runs.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        for name in names if turn % 2 else reversed(names):
            time.sleep(REST_S)  # so that no library's threads still spin
            start = time.perf_counter()
            runs[name]()
            rates[name].append(BATCH / (time.perf_counter() - start))
    return rates


def ratios(network: str, rates: dict[str, list[float]]) -> list[dict[str, object]]:
    """Each a median over rounds of the ratio within the round."""

    def row(
        name: str, target: float | None, over: tuple[str, ...], of: str = OURS
    ) -> dict[str, object]:
        best = max(over, key=lambda other: statistics.median(rates[other]))
        by_round = [a / b for a, b in zip(rates[of], rates[best], strict=True)]
        return {
            "name": f"{network}: {name}",
            "ratio": round(statistics.median(by_round), 3),
            "target": target,
            "rounds": [round(r, 3) for r in by_round],
            "tiles_per_s": round(statistics.median(rates[of]), 1),
            "beside": best,
        }

    eager_target, int8_target = (1.8, 3.3) if network == "resnet18" else (None, None)
    return [
        row("auto / best session alone", 0.97, (SESSION, OPENVINO)),
        row("auto / best of ours", 0.97, (OURS_ORT, OURS_OPENVINO)),
        row("auto int8 / best of ours", 0.97, (OURS_ORT_INT8, OURS_OPENVINO_INT8), OURS_INT8),
        row("auto / torch eager", eager_target, (EAGER,)),
        row("auto int8 / torch eager", int8_target, (EAGER,), OURS_INT8),
        row("onnxruntime int8 / torch eager", None, (EAGER,), OURS_ORT_INT8),
        row("openvino / openvino alone", None, (OPENVINO,), OURS_OPENVINO),
        row("torch / torch channels-last", None, (CHANNELS,), OURS_TORCH),
        row("auto / matrix products", None, (PRODUCTS,)),
        row("torch eager / matrix products", None, (PRODUCTS,), EAGER),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", choices=networks.NAMES, default=networks.NAMES)
    parser.add_argument("--json", action="store_true", help="print one JSON line per row")
    args = parser.parse_args()
    torch.set_num_threads(cores())
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), np.uint8)
    print(f"{platform.processor() or platform.machine()}, {cores()} cores", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WSI_AI_CHOICES"] = folder  # what auto takes is measured, too
        for name in args.networks:
            network = networks.make_network(name, Path(folder))
            rates = measure(variants(network, pixels), args.rounds)
            told = {k: round(statistics.median(v), 1) for k, v in rates.items()}
            print(f"{name}, tiles/s: {told}", file=sys.stderr)
            for row in ratios(name, rates):
                if args.json:
                    print(json.dumps(row), flush=True)
                else:
                    print(f"{row['name']:<48} {row['ratio']:>6} (target {row['target']})")


if __name__ == "__main__":
    main()
