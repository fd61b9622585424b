"""Train the demo's tumour classifier on synthetic slides only, and measure it.

    python models/demo-tumour/train.py [--real FOLDER_OF_KATHER_TILES]

Repeatable by steps and seeds, not by the clock: about 8 minutes on 2 cores.  Writes the
ONNX file, the same weights for torch, golden tiles, results.json, and the threshold and
checksum in model.toml.
"""

import argparse
import hashlib
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from augment import Augment
from evaluate import (
    Score,
    highest_threshold,
    real_figures,
    slide_figures,
    tile_figures,
)
from network import TumourNet
from numpy.typing import NDArray
from tiles import SIDE_PX, Tiles, draw_slide, join, middle_of, training_tiles

from wsi_ai.demo import SampleSpec

HERE = Path(__file__).parent
NAME = "demo-tumour"
STEPS, BATCH, PEAK_RATE, SMOOTHING = 520, 48, 3e-3, 0.03
SENSITIVITY = 0.98
TUMOUR_SLIDES = [SampleSpec(seed=s, tumour=True) for s in range(100, 110)]
FREE_SLIDES = [SampleSpec(seed=s, pen=s % 2 == 0, blur=s % 3 == 0) for s in range(200, 206)]
HELD_OUT_TILES = [SampleSpec(seed=s, tumour=s < 904) for s in (900, 901, 902, 904, 905)]
WHOLE_SLIDES = {
    **{f"tumour, seed {s}": SampleSpec(seed=s, tumour=True) for s in (910, 911, 912)},
    **{f"tumour-free, seed {s}": SampleSpec(seed=s) for s in (920, 921, 922, 923)},
    "tumour-free with pen, seed 924": SampleSpec(seed=924, pen=True),
    "tumour-free with pen, seed 925": SampleSpec(seed=925, pen=True),
    "tumour-free out of focus, seed 926": SampleSpec(seed=926, blur=True),
    "tumour-free out of focus, seed 927": SampleSpec(seed=927, blur=True),
}


def collect(specs: list[SampleSpec], per_kind: int) -> Tiles:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return join(list(pool.map(training_tiles, specs, [per_kind] * len(specs))))


def train(tiles: Tiles) -> TumourNet:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net, augment = TumourNet(), Augment(generator)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, STEPS, pct_start=0.1)
    rgb, tumour = torch.from_numpy(tiles.rgb), torch.from_numpy(tiles.tumour)
    kinds = [torch.nonzero(tumour == k)[:, 0] for k in (0, 1)]
    for step in range(STEPS):
        half = [k[torch.randint(len(k), (BATCH // 2,), generator=generator)] for k in kinds]
        index = torch.cat(half)
        wanted = SMOOTHING + (1 - 2 * SMOOTHING) * tumour[index].float()[:, None]
        loss = F.binary_cross_entropy_with_logits(net.logits(augment(rgb[index])), wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 40 == 39:
            print(f"step {step + 1} of {STEPS}: loss {loss.item():.3f}", flush=True)
    return net.eval()


def export(net: TumourNet, path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Write the ONNX file; return it as a function from tiles to probabilities [n]."""
    import onnxruntime

    example = torch.zeros((2, SIDE_PX, SIDE_PX, 3), dtype=torch.uint8)
    torch.onnx.export(
        net,
        (example,),
        path,
        input_names=["tiles"],
        output_names=["tumour_probability"],
        opset_version=18,
        dynamic_shapes={"tiles": {0: torch.export.Dim("n", min=1)}},
        external_data=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def score(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [rgb[i : i + 64] for i in range(0, len(rgb), 64)]
        return np.concatenate([session.run(None, {"tiles": part})[0][:, 0] for part in parts])

    return score


def keep_golden(tiles: Tiles, score: Score) -> dict[str, float]:
    """A few tiles and their scores, for other runtimes to be compared with."""
    folder = HERE / "golden"
    folder.mkdir(exist_ok=True)
    order = np.argsort(score(tiles.rgb))
    scores = {}
    for share in (0.02, 0.35, 0.5, 0.65, 0.98):
        rgb = tiles.rgb[order[int(share * len(order))]]
        name = f"tile-{round(share * 100):02d}.png"
        cv2.imwrite(str(folder / name), rgb[..., ::-1])
        scores[name] = round(float(score(rgb[None])[0]), 6)
    return scores


def fill_card(path: Path, threshold: float, digest: str) -> None:
    text = re.sub(r"(?m)^sha256 = .*$", f'sha256 = "{digest}"', path.read_text())
    path.write_text(re.sub(r"(?m)^threshold = .*$", f"threshold = {threshold:.2f}", text))


def measure(score: Score, held_out: Tiles, real: Path | None) -> dict[str, Any]:
    threshold = highest_threshold(score(held_out.rgb), held_out.tumour == 1, SENSITIVITY)
    results: dict[str, Any] = {
        "threshold": threshold,
        "held_out_tiles": tile_figures(score, held_out, threshold),
        "whole_slides": {},
    }
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for name, slide in zip(
            WHOLE_SLIDES, pool.map(draw_slide, WHOLE_SLIDES.values()), strict=True
        ):
            results["whole_slides"][name] = slide_figures(score, slide, threshold)
            print(name, results["whole_slides"][name], flush=True)
    if real:
        results["real_tiles"] = real_figures(score, real, threshold)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and measure the demo model.")
    parser.add_argument("--real", type=Path, help="Kather's 100 tiles, for the report only")
    real: Path | None = parser.parse_args().real
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    began = time.monotonic()
    tiles = collect(TUMOUR_SLIDES + FREE_SLIDES, 400)
    held_out = middle_of(collect(HELD_OUT_TILES, 150))
    drawn = time.monotonic()
    print(f"{len(tiles.tumour)} tiles, {tiles.tumour.sum()} tumour; {drawn - began:.0f} s")
    net = train(tiles)
    trained = time.monotonic()
    onnx = HERE / f"{NAME}.onnx"
    score = export(net, onnx)
    torch.save(net.state_dict(), HERE / f"{NAME}.pt")
    results = measure(score, held_out, real)
    with torch.no_grad():
        same = net(torch.from_numpy(held_out.rgb[:64]))[:, 0].numpy()
    results["onnx_differs_from_torch"] = float(np.abs(same - score(held_out.rgb[:64])).max())
    results["golden"] = keep_golden(held_out, score)
    results["training_tiles"] = {"all": len(tiles.tumour), "tumour": int(tiles.tumour.sum())}
    results["seconds"] = {
        "draw": round(drawn - began),
        "train": round(trained - drawn),
        "measure": round(time.monotonic() - trained),
    }
    fill_card(
        HERE / "model.toml", results["threshold"], hashlib.sha256(onnx.read_bytes()).hexdigest()
    )
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
