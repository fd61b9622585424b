"""Opens, reads and judges mutants, and prints a line for each.  Runs in a process of its own.

    python -m tests.fuzz.read_mutants SAMPLES FIRST STOP

A mutant that takes too long, or too much memory, ends the process; so does a crash.  Then its line
is missing.
"""

import contextlib
import dataclasses
import faulthandler
import logging
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy as np

from tests.conftest import DEMO_MODEL
from tests.fuzz.excuses import Unproven, excuse
from tests.fuzz.mutants import mutate
from tests.fuzz.samples import WRITERS
from wsi_ai.core.cards import Precision, RuntimeRequest, TileSpec
from wsi_ai.core.contracts import EncodedSlide, Slide
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import Codec
from wsi_ai.errors import SlideError, TileUnreadable
from wsi_ai.heatmaps import Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.inference.onnx.runtime import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.no_ops import NoWatcher
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tissue.quality import QualityLimits
from wsi_ai.triage.judge import TriagePolicy
from wsi_ai.triage.rules import Area

LIMIT_S = 5
"""Of processor time: others may use the machine, too."""
_HANGS_S = 30
LIMIT_BYTES = 1 << 30
_TILES = 16
UNPROVEN = "UNPROVEN"


def read_all(path: Path, judge: "Judge") -> str:
    """The outcome in a word or two."""
    try:
        with open_slide(path) as slide:
            read, wrong = _read(slide)
            if wrong:
                return f"FALSE-SUCCESS {wrong}"
            level = judge(slide)
            return f"{level} {slide.info.size} {slide.info.spacing} {read}"
    except SlideError as error:
        return f"refused {type(error).__name__}"


class Judge:
    """The demo model, opened once; its rule a little laxer than the default, so that the whole
    slide is well above it."""

    def __init__(self) -> None:
        card = load_card(DEMO_MODEL)
        self._runtime = open_runtime(card, RuntimeRequest("cpu", Precision.FP32))
        policy = TriagePolicy(rule=Area(area_mm2=0.5, tissue_share=0.15))
        source = HostTiles(self._runtime.batch_size, 2)
        self._pipeline = Pipeline(source, self._runtime, policy, QualityLimits())

    def __call__(self, slide: Slide) -> str:
        clock = Stopwatch(time.perf_counter())
        with tempfile.TemporaryDirectory() as kept:
            keep = Keep(Path(kept) / "kept", "ab" * 32, self._runtime.batch_size)
            made = self._pipeline.prepare(
                slide, lambda plan: open_canvas(plan, self._runtime.card, keep), clock
            )
            if not isinstance(made, Assessment):
                with contextlib.closing(made.canvas):
                    made = self._pipeline.infer(made, NoWatcher(), clock, lambda flag: None)
        return f"{made.flag.level.value} ({made.flag.reason})"


def _read(slide: Slide) -> tuple[str, int]:
    """How many of some tiles were read, and how many of them by mistake."""
    info = dataclasses.replace(slide.info, spacing=Spacing(0.5, 0.5))
    wrong = 0
    for level, down in enumerate(info.downsamples[:4]):
        plan = plan_tiles(info, np.ones((1, 1), bool), TileSpec(128, 0.5 * max(down, 1.0), 200))
        plan = dataclasses.replace(plan, cells=plan.cells[:_TILES], level=level)
        batches = HostTiles(16, 2)(slide, plan, 0)
        seen = [int(i) for batch in batches for i in batch.index]
        if isinstance(slide, EncodedSlide):
            wrong += _mistaken(slide, level, seen, plan)
    return f"{len(seen)} of {len(plan)} at the last level", wrong


def _mistaken(slide: EncodedSlide, level: int, seen: list[int], plan: object) -> int:
    """Stored tiles that another decoder rejects although ours took them."""
    stored = slide.encoded_level(level)
    tile, down = stored.encoding.tile, slide.info.downsamples[level]
    if stored.encoding.codec is not Codec.JPEG:
        return 0
    mistakes = 0
    for col in range(min(6, -(-stored.size.width // tile.width))):
        try:
            data = stored.encoded(col, 0)
            left, top = stored.corner[0] + col * tile.width, stored.corner[1]
            slide.read(level, round(left * down) + 2, round(top * down) + 2, 9, 9)
        except TileUnreadable:
            continue
        try:
            imagecodecs.jpeg8_decode(data)
        except imagecodecs.Jpeg8Error:
            mistakes += 1
    return mistakes


def main() -> None:
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (8 * LIMIT_BYTES, 8 * LIMIT_BYTES))
    folder, first, stop = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    samples, judge = list(WRITERS), Judge()
    for number in range(first, stop):
        sample = folder / samples[number % len(samples)]
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / sample.name
            copy = shutil.copytree if sample.is_dir() else shutil.copyfile
            copy(sample, path)
            kind = mutate(path, number) if number >= len(samples) else "whole"
            faulthandler.dump_traceback_later(_HANGS_S, exit=True)
            start = time.process_time()
            outcome = read_all(path, judge)
            faulthandler.cancel_dump_traceback_later()
            spent = round(time.process_time() - start, 2)
            if outcome.startswith("standard"):
                outcome += f" | {_proof(sample, path)}"
        print(number, spent, _peak_mib(), kind, sample.name, "->", outcome, flush=True)


def _proof(whole: Path, damaged: Path) -> str:
    try:
        return excuse(whole, damaged)
    except Unproven as why:
        return f"{UNPROVEN} {why}"


def _peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
