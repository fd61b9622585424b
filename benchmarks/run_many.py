"""Eight small slides in one command: what it costs beyond inference, and how much memory."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from wsi_ai.bench.processes import ProcessCost as Done
from wsi_ai.bench.processes import cost_of

START_UP = """
import sys
from pathlib import Path
from wsi_ai.run.run_slides import run_slides
from wsi_ai.models.manifest import load_card
from wsi_ai.inference.registry import open_runtime
from wsi_ai.core.cards import RuntimeRequest
open_runtime(load_card(Path(sys.argv[1])), RuntimeRequest(sys.argv[2]))
"""


@dataclass(frozen=True)
class Row:
    name: str
    ratio: float | None
    target: float | None
    better: str
    """``lower`` or ``higher``: the target is a most or a least."""
    told: str = ""

    def as_json(self) -> str:
        ratio = None if self.ratio is None else round(self.ratio, 3)
        said = {"name": self.name, "ratio": ratio, "target": self.target, "better": self.better}
        return json.dumps({**said, "told": self.told})


def sample(cache: Path, size_px: int, seed: int) -> Path:
    path = cache / f"sample-{size_px}-{seed}.svs"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        words = ["demo-slide", str(path), "--size", str(size_px), "--seed", str(seed), "--tumour"]
        subprocess.run([sys.executable, "-m", "wsi_ai", *words], check=True, stdout=sys.stderr)
    return path


def timed(words: Sequence[str], **more: Any) -> Done:
    """Of one process, and the largest of its children.  Raises SystemExit where it fails."""
    done = cost_of(words, more.get("env"))
    if done.exit_status:
        raise SystemExit(f"{words[:3]} ended with status {done.exit_status}")
    return done


def run_slides(
    slides: Sequence[Path], model: Path, out: Path, device: str, precision: str = "fp32"
) -> Done:
    words = ["run", *map(str, slides), "--model", str(model), "--out", str(out)]
    words += ["--device", device, "--precision", precision]
    return timed([sys.executable, "-m", "wsi_ai", *words])


def start_up(model: Path, device: str) -> float:
    """Of a process that loads what a run loads and opens its runtime, and ends."""
    return timed([sys.executable, "-c", START_UP, str(model), device]).wall_s


def pure_inference(slides: Sequence[Path], model: Path, device: str) -> float:
    """Seconds that the runtime needs for the slides' tiles when they lie ready in memory."""
    from wsi_ai.core.cards import RuntimeRequest
    from wsi_ai.inference.registry import open_runtime
    from wsi_ai.models.manifest import load_card

    card = load_card(model)
    runtime = open_runtime(card, RuntimeRequest(device))
    spent = 0.0
    for slide in slides:
        ready = list(ready_batches(slide, card, runtime.batch_size))
        start = time.perf_counter()
        for _ in runtime.predict(ready):
            pass
        spent += time.perf_counter() - start
    return spent


def ready_batches(slide: Path, card: Any, batch_size: int) -> Iterator[Any]:
    from wsi_ai.core.values import TileBatch
    from wsi_ai.slides.registry import open_slide
    from wsi_ai.tiles.reading import RegionTiles

    with open_slide(slide) as opened:
        for batch in RegionTiles(batch_size, 2)(opened, plan_of(opened, card), 0):
            yield TileBatch(batch.slide_id, batch.index, np.array(batch.pixels))


def plan_of(opened: Any, card: Any) -> Any:
    from wsi_ai.tiles.planning import plan_tiles
    from wsi_ai.tissue.mask import find_tissue
    from wsi_ai.tissue.thumbnail import take_thumbnail

    return plan_tiles(opened.info, find_tissue(opened.info, take_thumbnail(opened)), card.tile)


def record(out: Path) -> dict[str, Any]:
    (path,) = (out / "runs").glob("*.json")
    said: dict[str, Any] = json.loads(path.read_text())
    return said


def gap_in_batches(run: dict[str, Any]) -> float:
    """The longest time between two slides in which the runtime had none, in batches."""
    spans = [
        {span["stage"]: span for span in slide["spans"]}["inference"] for slide in run["slides"]
    ]
    batch_s = float(np.median([slide["batch_s"] for slide in run["slides"]]))
    return max(b["start_s"] - a["end_s"] for a, b in pairwise(spans)) / batch_s


def many_rows(
    slides: Sequence[Path], large: Path, models: tuple[Path, Path], scratch: Path, device: str
) -> Iterator[Row]:
    """``models`` are the network at the slides' own scale, and at a coarser one, with which a
    large slide takes minutes and not hours."""
    model, coarse = models
    began, pure = start_up(model, device), pure_inference(slides, model, device)
    eight = run_slides(slides, model, scratch / "eight", device)
    told = f"{eight.wall_s:.1f} s; inference {pure:.1f} s, start-up {began:.1f} s"
    yield Row(
        "many: wall / (inference + start-up)", eight.wall_s / (pure + began), 1.05, "lower", told
    )
    run = record(scratch / "eight")
    told = f"busy {run['busy_s']} of {run['wall_s']} s"
    yield Row("many: longest gap between slides, batches", gap_in_batches(run), 2.0, "lower")
    yield Row("many: pipeline efficiency", run["efficiency"], 0.95, "higher", told)
    three, one = (
        run_slides(slides[:n], model, scratch / f"first-{n}", device).peak_mib for n in (3, 1)
    )
    yield Row(
        "many: peak memory, eight slides / three", eight.peak_mib / three, 1.1, "lower",
        f"{eight.peak_mib:.0f} and {three:.0f} MiB, with one {one:.0f}: of three, one is looked at"
        " and one written while the third is inferred, as of eight",
    )  # fmt: skip
    small, big = (
        run_slides([slide], coarse, scratch / slide.stem, device) for slide in (slides[0], large)
    )
    yield Row(
        "many: peak memory, large slide / small", big.peak_mib / small.peak_mib, 1.2, "lower",
        f"{big.peak_mib:.0f} and {small.peak_mib:.0f} MiB",
    )  # fmt: skip
    peak = max(eight.peak_mib, big.peak_mib)
    yield Row("many: peak memory / 700 MiB", peak / 700, 1.0, "lower", f"{peak:.0f} MiB")
