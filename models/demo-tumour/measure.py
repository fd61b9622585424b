"""Choose the demo model's operating point, measure it, and fill in its card.

    python models/demo-tumour/measure.py [--real FOLDER_OF_KATHER_TILES]

Threshold and figures come from different seeds.  Writes golden tiles, results.json, and the
threshold and checksum in model.toml.
"""

import argparse
import hashlib
import json
import re
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from evaluate import (
    SlideScores,
    lowest_threshold,
    real_figures,
    score_slide,
    slide_figures,
    tile_figures,
)
from numpy.typing import NDArray
from tiles import draw_slide

from wsi_ai.demo import SampleSpec

HERE = Path(__file__).parent
ONNX = HERE / "demo-tumour.onnx"
MOST_FALSE_TILES = 4  # on a tumour-free slide: a tenth of what raises a flag
CALIBRATION = [SampleSpec(seed=s, pen=s == 906, blur=s == 907) for s in (904, 905, 906, 907)]
WHOLE_SLIDES = {
    **{f"tumour, seed {s}": SampleSpec(seed=s, tumour=True) for s in (910, 911, 912)},
    **{f"tumour-free, seed {s}": SampleSpec(seed=s) for s in (920, 921, 922, 923)},
    "tumour-free with pen, seed 924": SampleSpec(seed=924, pen=True),
    "tumour-free with pen, seed 925": SampleSpec(seed=925, pen=True),
    "tumour-free out of focus, seed 926": SampleSpec(seed=926, blur=True),
    "tumour-free out of focus, seed 927": SampleSpec(seed=927, blur=True),
}


class Scorer:
    """The ONNX file as a function from tiles to probabilities [n]."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [rgb[i : i + 64] for i in range(0, len(rgb), 64)]
        return np.concatenate([self._session.run(None, {"tiles": p})[0][:, 0] for p in parts])


def score_slides(score: Scorer, specs: list[SampleSpec]) -> list[SlideScores]:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return [score_slide(score, slide) for slide in pool.map(draw_slide, specs)]


def keep_golden(scored: SlideScores) -> dict[str, float]:
    """A few tiles of one slide and their scores, for other runtimes to be compared with."""
    folder = HERE / "golden"
    folder.mkdir(exist_ok=True)
    order, scores = np.argsort(scored.score), {}
    for share in (0.1, 0.7, 0.85, 0.95, 0.999):
        i = order[int(share * len(order))]
        name = f"tile-{round(share * 1000):03d}.png"
        cv2.imwrite(str(folder / name), scored.rgb[i][..., ::-1])
        scores[name] = round(float(scored.score[i]), 6)
    return scores


def fill_card(path: Path, threshold: float) -> None:
    digest = hashlib.sha256(ONNX.read_bytes()).hexdigest()
    text = re.sub(r"(?m)^sha256 = .*$", f'sha256 = "{digest}"', path.read_text(), count=1)
    path.write_text(re.sub(r"(?m)^threshold = .*$", f"threshold = {threshold:.2f}", text))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the demo model.")
    parser.add_argument("--real", type=Path, help="Kather's 100 tiles, for the report only")
    real: Path | None = parser.parse_args().real
    began, score = time.monotonic(), Scorer(ONNX)
    threshold = lowest_threshold(score_slides(score, CALIBRATION), MOST_FALSE_TILES)
    whole = score_slides(score, list(WHOLE_SLIDES.values()))
    results: dict[str, Any] = {
        "threshold": threshold,
        "held_out_tiles": tile_figures(whole, threshold),
        "whole_slides": {
            name: slide_figures(slide, threshold)
            for name, slide in zip(WHOLE_SLIDES, whole, strict=True)
        },
        "golden": keep_golden(whole[0]),
    }
    if real:
        results["real_tiles"] = real_figures(score, real, threshold)
    results["seconds"] = round(time.monotonic() - began)
    fill_card(HERE / "model.toml", threshold)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
