"""What the model says of slides, tile by tile, read as a run reads them."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from slides import SlideFile

from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.core.timing import Stopwatch
from wsi_ai.inference.registry import open_runtime
from wsi_ai.inference.scoring import tile_scores
from wsi_ai.models.manifest import load_card
from wsi_ai.models.parity import scores
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.planning import plan_for
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tissue.overview import overview_of
from wsi_ai.tissue.quality import QualityLimits
from wsi_ai.triage.gates import quality_gate
from wsi_ai.triage.rules import Area, Evidence, reaching

F32 = NDArray[np.float32]
HERE = Path(__file__).parent
DOWN = 4  # outlines are filled at a quarter of the size
TILE_MM2 = (224 * 0.5e-3) ** 2


@dataclass(frozen=True)
class SlideScores:
    """On the slide's grid of tiles: scores, NaN where no tissue is, and what was planted."""

    score: F32
    tumour: F32
    """Which share of a tile lies in the planted tumour's outline."""
    fit: bool
    """No check of the slide's quality stops it."""

    def positive_mm2(self, threshold: float) -> float:
        return float(reaching(self.score, threshold).sum()) * TILE_MM2

    def positive_share(self, threshold: float) -> float:
        """Of the tissue."""
        return float(reaching(self.score, threshold).sum() / np.isfinite(self.score).sum())

    def planted_mm2(self) -> float:
        return float(self.tumour.sum()) * TILE_MM2

    def found_mm2(self, threshold: float) -> float:
        """Of the planted tumour."""
        return float(self.tumour[reaching(self.score, threshold)].sum()) * TILE_MM2

    def evidence(self) -> Evidence:
        return Evidence(self.score, np.isfinite(self.score), TILE_MM2)

    def meets(self, rule: Area, threshold: float) -> bool:
        return self.fit and rule.score(self.evidence()) >= threshold


class Scorer:
    """Scores each slide once and keeps that in a folder, under the digest of the weights."""

    def __init__(self, folder: Path) -> None:
        self._card = load_card(HERE)
        self._runtime = open_runtime(self._card, RuntimeRequest("cpu"))
        self._folder = folder / self._card.ref.sha256[:8]
        self._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, slide: SlideFile) -> SlideScores:
        kept = self._folder / f"{slide.path.stem}.npz"
        if not kept.exists():
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as aside:
                np.savez_compressed(aside, **self._score(slide))
            Path(aside.name).replace(kept)
        arrays = np.load(kept)
        return SlideScores(arrays["score"], arrays["tumour"], bool(arrays["fit"]))

    def tiles(self, rgb: NDArray[np.uint8]) -> F32:
        """Of single tiles, [n, 224, 224, 3]."""
        return scores(self._runtime, rgb)[:, self._card.positive_class]

    def _score(self, slide: SlideFile) -> dict[str, NDArray[np.generic]]:
        card, runtime = self._card, self._runtime
        with open_slide(slide.path) as opened:
            look = overview_of(opened, QualityLimits(), Stopwatch(0))
            plan = plan_for(card, opened.info, look.tissue)
            score = np.full(plan.grid, np.nan, np.float32)
            for batch in runtime.predict(HostTiles(runtime.batch_size, 2)(opened, plan, 0)):
                row, col = plan.cells[batch.index].T
                score[row, col] = tile_scores(batch.scores, card)[:, card.positive_class]
        return {
            "score": score,
            "tumour": planted(slide, plan.grid),
            "fit": np.array(quality_gate(look.quality) is None),
        }


def planted(slide: SlideFile, grid: tuple[int, int]) -> F32:
    """Which share of each tile lies in the tumour's outline, as the slide's truth draws it."""
    side = 224 // DOWN
    mask = np.zeros((grid[0] * side, grid[1] * side), np.uint8)
    for feature in json.loads(slide.truth.read_text())["features"]:
        if feature["properties"]["classification"]["name"] == "Tumor":
            rings = feature["geometry"]["coordinates"]
            for inside, ring in zip([1] + [0] * len(rings), rings, strict=False):
                cv2.fillPoly(mask, [np.rint(np.array(ring) / DOWN).astype(np.int32)], inside)
    return mask.reshape(grid[0], side, grid[1], side).mean((1, 3)).astype(np.float32)
