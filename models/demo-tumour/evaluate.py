"""What the demo model can and cannot do, in figures: by its own threshold and rule.

    python models/demo-tumour/evaluate.py [FOLDER] [--real FOLDER_OF_KATHER_TILES]

Draws slides of unseen seeds into FOLDER, with and without tumour at every size, scores each once,
and keeps both: what was stopped goes on where it was.  Prints the table and writes results.json.
"""

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from calibrate import wilson
from numpy.typing import NDArray
from scores import HERE, Scorer, SlideScores
from slides import SIZES_PX, draw_all, slides_of

from wsi_ai.models.manifest import load_card
from wsi_ai.triage.policy import policy_for

FIRST_SEED = 5000
KATHER = ("tumour", "stroma", "complex", "lympho", "debris", "mucosa", "adipose", "empty")
SIDE_PX, KATHER_PX = 224, 150  # 74 µm: 224 px at 0.33 µm/px, 150 at 0.5 µm/px


def auc(score: NDArray[np.floating[Any]], positive: NDArray[np.bool_]) -> float:
    """The chance that a positive scores above a negative; ties count half."""
    yes, no = np.sort(score[positive]), np.sort(score[~positive])
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(below.sum() / (2 * len(yes) * len(no)))


def auc_interval(
    score: NDArray[np.floating[Any]], positive: NDArray[np.bool_], draws: int = 2000
) -> tuple[float, float]:
    """95 % bootstrap interval: tiles of either class drawn with replacement."""
    rng, out = np.random.default_rng(0), []
    yes, no = np.flatnonzero(positive), np.flatnonzero(~positive)
    for _ in range(draws):
        i = np.concatenate([rng.choice(yes, len(yes)), rng.choice(no, len(no))])
        out.append(auc(score[i], positive[i]))
    lo, hi = np.percentile(out, (2.5, 97.5))
    return float(lo), float(hi)


def figures_of_size(
    tumour: list[SlideScores], free: list[SlideScores], threshold: float, met: list[list[bool]]
) -> dict[str, Any]:
    """`met`: whether each slide of either list is expedited."""
    hits, alarms = (sum(own) for own in met)
    planted = [s.planted_mm2() for s in tumour]
    found = [s.found_mm2(threshold) for s in tumour]
    shares = np.array(found) / planted
    false_mm2 = [s.positive_mm2(threshold) for s in free]
    return {
        "with_tumour": len(tumour),
        "expedited": hits,
        "sensitivity_95": [round(v, 3) for v in wilson(hits, len(tumour))],
        "without_tumour": len(free),
        "not_expedited": len(free) - alarms,
        "specificity_95": [round(v, 3) for v in wilson(len(free) - alarms, len(free))],
        "planted_area_found": round(sum(found) / sum(planted), 3),
        "planted_area_found_median": round(float(np.median(shares)), 3),
        "planted_area_found_least": round(float(shares.min()), 3),
        "largest_false_area_mm2": round(max(false_mm2), 3),
    }


def scored_pair(folder: Path, size_px: int, seed: int) -> tuple[SlideScores, SlideScores]:
    """With tumour, and without."""
    slides, score = slides_of(folder, seed, (size_px,)), Scorer(folder)
    draw_all(slides)
    free, tumour = (score(slide) for slide in slides)
    return tumour, free


def slide_figures(folder: Path, seeds: list[int]) -> dict[str, Any]:
    """By size, of that number of seeds; two at a time, small slides first."""
    card = load_card(HERE)
    policy, threshold = policy_for(card, None).triage, card.point.threshold
    figures = {}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for size, count in zip(SIZES_PX, seeds, strict=True):
            numbers = range(FIRST_SEED, FIRST_SEED + count)
            both: tuple[list[SlideScores], list[SlideScores]] = ([], [])
            for pair in pool.map(partial(scored_pair, folder, size), numbers):
                for own, scores in zip(both, pair, strict=True):
                    own.append(scores)
                print(f"{size} px: {len(both[0])} of {count} seeds", flush=True)
            met = [[s.meets(policy.rule, threshold) for s in own] for own in both]
            figures[str(size)] = figures_of_size(*both, threshold, met)
            print(table(figures), flush=True)
    return figures


def real_figures(score: Scorer, folder: Path, threshold: float) -> dict[str, Any]:
    """Kather's real tiles, mirrored out to the 224 px that the network sees."""
    files = sorted(folder.rglob("*_label_?.png"))
    if not files:
        raise FileNotFoundError(f"no *_label_?.png in {folder}")
    lo, hi = (SIDE_PX - KATHER_PX) // 2, (SIDE_PX - KATHER_PX + 1) // 2
    rgb = []
    for file in files:
        img = np.asarray(cv2.imread(str(file)))[..., ::-1]
        small = cv2.resize(img, (KATHER_PX, KATHER_PX), interpolation=cv2.INTER_AREA)
        rgb.append(cv2.copyMakeBorder(small, lo, hi, lo, hi, cv2.BORDER_REFLECT_101))
    p, kind = score.tiles(np.asarray(rgb, np.uint8)), np.array([int(f.stem[-1]) for f in files])
    truth, tissue = kind == 0, kind < 6
    return {
        "tiles": len(p),
        "auc": round(auc(p, truth), 3),
        "auc_95": [round(v, 3) for v in auc_interval(p, truth)],
        "auc_without_fat_and_empty": round(auc(p[tissue], truth[tissue]), 3),
        "at_or_above_by_class": {
            name: f"{int((p[kind == k] >= threshold).sum())} of {int((kind == k).sum())}"
            for k, name in enumerate(KATHER)
        },
        "median_by_class": {
            name: round(float(np.median(p[kind == k])), 3) for k, name in enumerate(KATHER)
        },
    }


def table(sizes: dict[str, Any]) -> str:
    rows = [
        "| size, px | with tumour: expedited | without: not expedited"
        " | planted area at or above the threshold (least) | largest false area |",
        "|---|---|---|---|---|",
    ]
    for size, f in sizes.items():
        yes, no = ("{:.2f} to {:.2f}".format(*f[k]) for k in ("sensitivity_95", "specificity_95"))
        rows.append(
            f"| {size} | {f['expedited']} of {f['with_tumour']} ({yes})"
            f" | {f['not_expedited']} of {f['without_tumour']} ({no})"
            f" | {f['planted_area_found']:.0%} ({f['planted_area_found_least']:.0%})"
            f" | {f['largest_false_area_mm2']:.2f} mm² |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the demo model.")
    parser.add_argument("folder", type=Path, nargs="?", help="where slides are drawn and kept")
    parser.add_argument("--seeds", type=int, nargs=4, default=[40] * 4, help="at each size")
    parser.add_argument("--real", type=Path, help="Kather's 100 tiles, for the report only")
    asked = parser.parse_args()
    folder: Path = asked.folder or Path(tempfile.gettempdir()) / "demo-tumour"
    folder.mkdir(parents=True, exist_ok=True)
    threshold = load_card(HERE).point.threshold
    results: dict[str, Any] = {
        "weights_sha256": load_card(HERE).ref.sha256,
        "policy": policy_for(load_card(HERE), None).as_dict(),
        "threshold": threshold,
        "slides_by_size_px": slide_figures(folder, asked.seeds),
    }
    if asked.real:
        results["real_tiles"] = real_figures(Scorer(folder), asked.real, threshold)
        print(json.dumps(results["real_tiles"], indent=2))
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
