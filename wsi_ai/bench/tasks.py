"""The stages of a slide, each as work that can be repeated, with the least work that it could be.

Each is alone here: it has all processors, and what it takes lies ready.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsi_ai.bench import decoding, limits
from wsi_ai.bench.measured import Run
from wsi_ai.bench.report import READ, decode_name, tiles_name
from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import EncodedSlide, Slide
from wsi_ai.core.geometry import Size
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import TilePlan
from wsi_ai.slides.readers.fingerprint import already_hashed, fingerprint, hashed
from wsi_ai.tiles.planning import plan_for, plan_tiles
from wsi_ai.tiles.reading.shrink import shrinker
from wsi_ai.tissue.haematoxylin import haematoxylin_density
from wsi_ai.tissue.overview import Overview, overview_of
from wsi_ai.tissue.quality import QualityLimits


@dataclass(frozen=True, slots=True)
class Least:
    """The limit: what a stage could not be done without."""

    name: str
    run: Run
    factor: float = 1.0
    """Its time is this many times that of ``run``, where so little is to be done that starting
    would count for more."""


@dataclass(frozen=True, slots=True)
class Task:
    """A stage to be measured."""

    name: str
    unit: str
    amount: float
    slide_amount: float
    run: Run
    least: Least | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is measured: an open slide, how it looked, and the tiles of which the first few are
    read and inferred."""

    path: Path
    slide: Slide
    look: Overview
    card: ModelCard
    whole: TilePlan
    tiles: int
    threads: int

    @property
    def plan(self) -> TilePlan:
        return replace(self.whole, cells=self.whole.cells[: self.tiles])

    @property
    def is_file(self) -> bool:
        return self.path.is_file()


OpenSlide = Callable[[], Slide]


def look_at(slide: Slide) -> Overview:
    return overview_of(slide, QualityLimits(), Stopwatch(0.0))


def plan_of(slide: Slide, look: Overview, card: ModelCard) -> TilePlan:
    return plan_for(card, slide.info, look.tissue, haematoxylin_density(look.thumbnail))


def opening_tasks(subject: Subject, reopen: OpenSlide) -> Iterator[Task]:
    """Of the file, before any tile."""
    known = {subject.path: hashed(subject.path)} if subject.is_file else {}

    def open_it() -> None:
        with already_hashed(known), reopen():
            pass

    yield Task("open", "slides", 1, 1, open_it)
    if subject.is_file:
        size = subject.path.stat().st_size
        least = Least("SHA-256 of bytes in memory", limits.hashing(size))
        yield Task("hash", "bytes", size, size, lambda: fingerprint(subject.path), least)
    yield Task("look", "slides", 1, 1, lambda: look_at(subject.slide))
    yield Task("plan", "slides", 1, 1, lambda: plan_of(subject.slide, subject.look, subject.card))


def reading_tasks(subject: Subject, batch: int) -> Iterator[Task]:
    """Of tiles, from the file to batches that a runtime takes."""
    plan, slide = subject.plan, subject.slide
    read = decoding.reading(slide, plan, batch, subject.threads)
    least = None
    if isinstance(slide, EncodedSlide):
        yield from _stored_tasks(subject, slide)
        once = decoding.decoding_once(slide, plan, subject.threads)
        least = Least("each stored tile decoded once", once)
    if plan.read_px != Size(plan.spec.size_px, plan.spec.size_px):
        yield _resampling(subject)
    yield Task(READ, "tiles", len(plan), len(subject.whole), read, least)


def _stored_tasks(subject: Subject, slide: EncodedSlide) -> Iterator[Task]:
    plan = subject.plan
    fetch = decoding.fetching(slide, plan)
    data = fetch()
    if not data:
        return
    size, scale = sum(map(len, data)), len(subject.whole) / len(plan)
    cached = limits.reading_cached(subject.path, size) if subject.is_file else None
    least = None if cached is None else Least("the same bytes from the page cache", cached)
    yield Task("encoded read", "bytes", size, size * scale, fetch, least)
    encoding, count = slide.encoded_level(plan.level).encoding, len(data)
    for threads in thread_counts(subject.threads):
        alone = Least("codec alone", decoding.codec_alone(data, encoding, threads))
        once = decoding.decoding_once(slide, plan, threads)
        yield Task(decode_name(threads), "stored tiles", count, count * scale, once, alone)


def thread_counts(most: int) -> list[int]:
    """1, 2, 4 and so on, and the most."""
    return [*(2**power for power in range((most - 1).bit_length())), most]


def tile_size_tasks(subject: Subject, sizes_px: Sequence[int], batch: int) -> Iterator[Task]:
    """Reading tiles of other sizes at the model's scale, about as many pixels of each."""
    own = subject.card.tile
    for side in sizes_px:
        stride = max(1, round(side * own.stride_px / own.size_px))
        spec = replace(own, size_px=side, stride_px=stride, lead_px=0)
        whole = plan_tiles(subject.slide.info, subject.look.tissue, spec)
        share = own.size_px**2 / side**2
        count, fewer = (max(1, round(number * share)) for number in (subject.tiles, batch))
        plan = replace(whole, cells=whole.cells[:count])
        read = decoding.reading(subject.slide, plan, fewer, subject.threads)
        least = None
        if isinstance(subject.slide, EncodedSlide):
            once = decoding.decoding_once(subject.slide, plan, subject.threads)
            least = Least("each stored tile decoded once", once)
        yield Task(tiles_name(side), "tiles", len(plan), len(whole), read, least)


def _resampling(subject: Subject) -> Task:
    """With one thread."""
    plan, side = subject.plan, subject.plan.spec.size_px
    shrink = shrinker(plan.read_px, Size(side, side))
    source = np.full((plan.read_px.height, plan.read_px.width, 3), 200, np.uint8)
    target = np.empty((side, side, 3), np.uint8)

    def resample() -> None:
        for _ in range(len(plan)):
            shrink(source, target)

    least = Least("the same bytes copied", limits.copying(source.nbytes * len(plan)))
    if source.nbytes * len(plan) > 1 << 28:
        copy = limits.copying(source.nbytes)
        least = Least(least.name, lambda: [copy() for _ in range(len(plan))])
    return Task("resample, one thread", "tiles", len(plan), len(subject.whole), resample, least)
