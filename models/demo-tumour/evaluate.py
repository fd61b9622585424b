"""What the demo model can and cannot do, in figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tiles import NEST_SHARE, SIDE_PX, DrawnSlide, shares, squares

KATHER = ("tumour", "stroma", "complex", "lympho", "debris", "mucosa", "adipose", "empty")
KATHER_PX = 150  # 74 µm: 224 px at 0.33 µm/px, at 0.5 µm/px
TILE_MM2 = (SIDE_PX * 0.5e-3) ** 2
Score = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


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


@dataclass(frozen=True)
class SlideScores:
    """Every tile of a plain 224 px grid of one slide: pixels, score, share of tumour nests."""

    rgb: NDArray[np.uint8]
    score: NDArray[np.float32]
    nest: NDArray[np.float64]


def score_slide(score: Score, slide: DrawnSlide) -> SlideScores:
    rgb = np.asarray(squares(slide.rgb, SIDE_PX), np.uint8)
    return SlideScores(rgb, score(rgb), shares(slide.nest, SIDE_PX))


def lowest_threshold(tumour_free: list[SlideScores], most_tiles: int) -> float:
    """The lowest, in hundredths, with at most so many tiles at or above it on every slide."""
    ranked = [np.sort(slide.score)[::-1][most_tiles] for slide in tumour_free]
    return (int(np.floor(max(ranked) * 100)) + 1) / 100


def tile_figures(slides: list[SlideScores], threshold: float) -> dict[str, Any]:
    """Tiles with 30 % of nest or more against tiles with none, glass included."""
    p = np.concatenate([s.score for s in slides])
    nest = np.concatenate([s.nest for s in slides])
    clear, truth = (nest >= NEST_SHARE) | (nest == 0), nest >= NEST_SHARE
    return {
        "tiles": int(clear.sum()),
        "tumour_tiles": int(truth.sum()),
        "auc": round(auc(p[clear], truth[clear]), 4),
        "sensitivity": round(float((p[truth] >= threshold).mean()), 4),
        "specificity": round(float((p[nest == 0] < threshold).mean()), 4),
    }


def slide_figures(slide: SlideScores, threshold: float) -> dict[str, Any]:
    high, clear = slide.score >= threshold, slide.nest >= NEST_SHARE
    return {
        "tiles": len(high),
        "at_or_above": int(high.sum()),
        "area_mm2": round(float(high.sum()) * TILE_MM2, 3),
        "nest_tiles": int(clear.sum()),
        "nest_tiles_found": int((high & clear).sum()),
        "alarms_without_nest": int((high & (slide.nest == 0)).sum()),
    }


def real_figures(score: Score, folder: Path, threshold: float) -> dict[str, Any]:
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
    p, kind = score(np.asarray(rgb, np.uint8)), np.array([int(f.stem[-1]) for f in files])
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
