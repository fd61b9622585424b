"""Whether two readers agree on a slide: pixel by pixel, and in the flag that comes of it."""

import dataclasses
import math
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsi_ai.core.contracts import Runtime, Slide
from wsi_ai.core.environment import threads
from wsi_ai.core.flags import Flag
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import TilePlan
from wsi_ai.errors import SlideError
from wsi_ai.heatmaps import Canvas, Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.inference.registry import open_aggregator, open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.results import record
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.no_ops import NoWatcher
from wsi_ai.run.opening import open_scaled
from wsi_ai.run.options import RunOptions
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.sniff import dicom_slides
from wsi_ai.tiles.planning import plan_for
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.thumbnail import take_thumbnail
from wsi_ai.triage.gates import scope_gate
from wsi_ai.triage.policy import Policy, load_policy, policy_for


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two readers made of one slide."""

    readers: tuple[str, str]
    tiles: int
    """Read by both."""
    unmatched: int
    """Tiles that only one of them could read."""
    max_difference: int
    """In grey levels of 255."""
    psnr_db: float
    """Infinite where no pixel differs."""
    flags: tuple[Flag, Flag]

    @property
    def same_flag(self) -> bool:
        """A difference between decoders that changes a flag is an error."""
        one, other = self.flags
        return one.level == other.level


def compare_readers(
    path: Path,
    model: Path,
    readers: tuple[str | None, str | None] = (None, "openslide"),
    options: RunOptions | None = None,
) -> Comparison:
    """Read the same plan through two readers, then run the model on each.

    ``None`` is the reader that the slide's content chooses.  Raises SlideError where one of them
    does not take the slide, or the model cannot judge it; ModelError; DeviceError.
    """
    options = options or RunOptions()
    card = load_card(model)
    policy = policy_for(card, load_policy(options.policy) if options.policy else None)
    runtime = open_runtime(card, options.request())
    with ExitStack() as opened:
        slides = [
            opened.enter_context(open_scaled(_file_for(path, r), replace(options, reader=r)))
            for r in readers
        ]
        names = (slides[0].info.reader, slides[1].info.reader)
        if names[0] == names[1]:
            raise SlideError(f"both readers are {names[0]}; name another one")
        if stopped := scope_gate(slides[0].info, card):
            raise SlideError(stopped)
        source = HostTiles(runtime.batch_size, threads())
        tissue = find_tissue(slides[0].info, take_thumbnail(slides[0]))
        plan = plan_for(card, slides[0].info, tissue)
        pixels = _difference(source, plan, slides)
        flags = tuple(_flag(slide, source, runtime, policy) for slide in slides)
    return Comparison(names, *pixels, (flags[0], flags[1]))


def _file_for(path: Path, reader: str | None) -> Path:
    """Of a folder that is a DICOM slide, a file of it: readers for other formats too begin with
    one, and look for the others beside it."""
    if reader in (None, "dicom") or not path.is_dir():
        return path
    series = dicom_slides(file for file in sorted(path.iterdir()) if is_dicom(file))
    return series[0] if len(series) == 1 else path


def _difference(
    source: HostTiles, plan: TilePlan, slides: list[Slide]
) -> tuple[int, int, int, float]:
    """Tiles compared, tiles unmatched, greatest difference, PSNR."""
    one, other = (source(s, dataclasses.replace(plan, slide=s.info), 0) for s in slides)
    tiles = unmatched = greatest = squares = samples = 0
    for a, b in zip(one, other, strict=True):
        both = np.intersect1d(a.index, b.index)
        unmatched += len(a.index) + len(b.index) - 2 * len(both)
        left, right = (np.from_dlpack(t.pixels)[np.isin(t.index, both)] for t in (a, b))
        apart = np.abs(left.astype(np.int16) - right)
        tiles += len(both)
        greatest = max(greatest, int(apart.max(initial=0)))
        squares += int(np.square(apart, dtype=np.int64).sum())
        samples += apart.size
    psnr = 10 * math.log10(255**2 * samples / squares) if squares else math.inf
    return tiles, unmatched, greatest, psnr


def _flag(slide: Slide, source: HostTiles, runtime: Runtime, policy: Policy) -> Flag:
    pipeline = Pipeline(source, runtime, policy.triage, policy.quality)
    with tempfile.TemporaryDirectory() as scratch:

        def canvas(plan: TilePlan) -> Canvas:
            keep = Keep(Path(scratch), record.plan_digest(plan), runtime.batch_size)
            return open_canvas(plan, runtime.card, keep, open_aggregator(runtime.card))

        clock = Stopwatch(time.perf_counter())
        made = pipeline.prepare(slide, canvas, clock)
        if isinstance(made, Assessment):
            return made.flag
        with closing(made.canvas):
            return pipeline.infer(made, NoWatcher(), clock, early=lambda flag: None).flag
