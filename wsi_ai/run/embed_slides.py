"""Slides in, embeddings out: a vector for each tile, and no flag."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard, Task, told_model
from wsi_ai.core.contracts import Slide, TileSource, Watcher
from wsi_ai.core.software import software
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import ModelError, Stopped
from wsi_ai.heatmaps import Keep, VectorCanvas, check_hdf5
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.approval import approved_card
from wsi_ai.models.parity import hold_to_golden
from wsi_ai.models.site import load_site
from wsi_ai.results import record
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.embeddings import Embedded, EmbeddingRun, known, write_embedding, write_refusal
from wsi_ai.results.folder import claimed, folder_for, hidden, make_folder
from wsi_ai.run.attempt import attempt
from wsi_ai.run.no_ops import NoWatcher
from wsi_ai.run.options import RunOptions
from wsi_ai.run.pipeline import Pipeline, Prepared
from wsi_ai.run.several_models import OpenOnce, SlideTask, SlideTasks, refuse_same_model
from wsi_ai.run.stages import in_turns, through_stages
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.reading import HostTiles, SharedTiles
from wsi_ai.tissue.overview import OverviewOnce, overview_of
from wsi_ai.triage.policy import load_policy


def embed_slides(
    slides: Sequence[Path],
    model: Path | Sequence[Path],
    out: Path,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
    *,
    hdf5: bool = False,
) -> Iterator[Embedded]:
    """Write what the encoder of one model, or of each of several, makes of every tile of each
    slide, in order.  Tiles that several want are decoded once.

    A slide that fails is told and the next one runs.  What was inferred survives a kill.  A
    model's card is of an embedding, or of a slide classification, whose encoder is taken.

    Raises OutputError, ModelError, PolicyError or DeviceError before any slide.
    """
    options = options or RunOptions()
    make_folder(out)
    if hdf5:
        check_hdf5()
    models = [model] if isinstance(model, Path) else model
    open_once = OpenOnce(lambda path: open_slide(path, options.spacing(path), options.reader))
    works = [
        EmbedWork(pipeline, out, open_once, options.force, hdf5)
        for pipeline in pipelines_for(_cards(models, options), options)
    ]
    work = SlideTasks(works, watch or NoWatcher())
    stages = work.prepare, work.infer, work.publish
    tasks = (work.begin(slide) for slide in slides)
    for task in through_stages(tasks, stages, work.stop, SlideTask.is_over):
        yield from task.outcomes


def _cards(models: Sequence[Path], options: RunOptions) -> list[ModelCard]:
    cards, site = list[ModelCard](), load_site(options.trusted_keys)
    for model in models:
        card = approved_card(model, site)
        if not card.gives_vectors:
            raise ModelError(
                f"{card.ref.name} is a {card.task.value} model and gives no embeddings;"
                " use: wsi-ai run"
            )
        refuse_same_model(card, cards)
        cards.append(card)
    return cards


def pipelines_for(cards: Sequence[ModelCard], options: RunOptions) -> list[Pipeline]:
    """They look at a slide together, and read it together where they take as many tiles at once."""
    policy, threads = load_policy(options.policy), len(os.sched_getaffinity(0))
    look, sources = OverviewOnce() if len(cards) > 1 else overview_of, dict[int, TileSource]()
    pipelines = []
    for card in cards:
        runtime = open_runtime(card, options.request())
        hold_to_golden(runtime, options.precision)
        size = runtime.batch_size
        source: TileSource = HostTiles(size, threads)
        if len(cards) > 1:
            source = sources.setdefault(size, SharedTiles(source))
        pipelines.append(Pipeline(source, runtime, policy.triage, policy.quality, look))
    return pipelines


@dataclass(slots=True)
class EmbedJob:
    """What the steps hand on.  It ends with an outcome, and then nothing is held."""

    path: Path
    held: ExitStack = field(default_factory=ExitStack)
    clock: Stopwatch = field(default_factory=lambda: Stopwatch(time.perf_counter()))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    info: SlideInfo | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)
    prepared: Prepared | None = None
    canvas: VectorCanvas | None = None
    resumed: int = 0
    """Planned tiles that an earlier, unfinished run had passed."""
    outcome: Embedded | None = None

    @property
    def over(self) -> bool:
        return self.outcome is not None


@dataclass(frozen=True, slots=True)
class EmbedWork:
    """All that the slides of one run share; see ``work.SlideWork``, whose steps these resemble."""

    pipeline: Pipeline
    out: Path
    open_slide: Callable[[Path], AbstractContextManager[Slide]]
    force: bool
    hdf5: bool
    _stop: threading.Event = field(default_factory=threading.Event)
    _epoch: float = field(default_factory=time.perf_counter)

    def begin(self, slide: Path) -> EmbedJob:
        return EmbedJob(slide)

    def prepare(self, job: EmbedJob) -> EmbedJob:
        return self._step(job, self._prepare)

    def read_ahead(self, job: EmbedJob) -> EmbedJob:
        return self._step(job, self._read_ahead)

    def inferring(self, job: EmbedJob, watch: Watcher) -> Iterator[None]:
        """One turn a batch, so that models may take turns."""

        def attempt(go_on: Callable[[EmbedJob], None]) -> EmbedJob:
            return self._step(job, go_on)

        return in_turns(self._infer(job, watch), attempt, lambda: job.over)

    def publish(self, job: EmbedJob) -> EmbedJob:
        return self._step(job, self._publish)

    def stop(self) -> None:
        self._stop.set()

    def _step(self, job: EmbedJob, step: Callable[[EmbedJob], None]) -> EmbedJob:
        if job.outcome is not None:
            return job
        trouble = attempt(lambda: step(job))
        if trouble is not None and (trouble.passing or job.info is None):
            job.outcome = self._told(job, None, trouble.reason, None, fresh=True)
        elif trouble is not None:
            self._refuse(job, trouble.reason, failed=True)
        if job.outcome is not None:
            job.held.close()
        return job

    def _prepare(self, job: EmbedJob) -> None:
        job.started, job.clock = datetime.now(UTC), Stopwatch(self._epoch)
        slide = job.held.enter_context(self.open_slide(job.path))
        job.info, job.asked = slide.info, self._asked(slide.info)
        job.folder = _folder(self.out, slide.info, self.pipeline.runtime.card)
        job.clock.lap("opening")
        job.held.enter_context(claimed(job.folder))
        if not self.force and (tiles := known(job.folder, record.digest(job.asked))) is not None:
            job.outcome = self._told(job, tiles, "", job.folder, fresh=False)
            return
        made = self.pipeline.prepare(slide, lambda plan: self._canvas(job, plan), job.clock)
        if isinstance(made, Assessment):
            self._refuse(job, made.flag.reason, failed=False)
            return
        job.held.callback(made.close)
        job.prepared = made

    def _told(
        self, job: EmbedJob, tiles: int | None, reason: str, folder: Path | None, *, fresh: bool
    ) -> Embedded:
        model = told_model(self.pipeline.runtime.card)
        return Embedded(job.path, tiles, reason, folder, fresh=fresh, model=model)

    def _read_ahead(self, job: EmbedJob) -> None:
        if job.prepared is not None:
            job.prepared = job.prepared.read_ahead()

    def _infer(self, job: EmbedJob, watch: Watcher) -> Iterator[None]:
        job.clock.lap("queue")
        if job.prepared is None:
            return
        for _ in self.pipeline.collecting(job.prepared, watch, job.clock):
            if self._stop.is_set():
                raise Stopped("the run was stopped")
            yield

    def _publish(self, job: EmbedJob) -> None:
        if job.prepared is None or job.canvas is None:
            raise ValueError("a slide came to be published without its vectors")
        made = job.prepared
        run = self._run(job)
        job.outcome = write_embedding(run, made.look, made.recolour, job.canvas, hdf5=self.hdf5)
        shutil.rmtree(hidden(job.folder, "kept"), ignore_errors=True)

    def _refuse(self, job: EmbedJob, reason: str, *, failed: bool) -> None:
        job.outcome = write_refusal(self._run(job), reason, failed=failed)

    def _run(self, job: EmbedJob) -> EmbeddingRun:
        return EmbeddingRun(
            path=job.path,
            slide=job.info,
            card=self.pipeline.runtime.card,
            folder=job.folder,
            asked=job.asked,
            runtime=self.pipeline.runtime.description,
            clock=job.clock,
            started=job.started,
            resumed=job.resumed,
        )

    def _canvas(self, job: EmbedJob, plan: TilePlan) -> VectorCanvas:
        size = self.pipeline.source.batch_size
        about = {**job.asked, "hdf5": None, "batch": size, "plan": record.plan_digest(plan)}
        keep = Keep(hidden(job.folder, "kept"), record.digest(about), size)
        canvas = VectorCanvas(plan, self.pipeline.runtime.card, keep)
        job.canvas = job.held.enter_context(closing(canvas))
        job.resumed = min(canvas.done, len(plan))
        return canvas

    def _asked(self, slide: SlideInfo) -> dict[str, Any]:
        """Everything that the answer depends on."""
        return {
            "task": "embed",
            "hdf5": self.hdf5,
            "slide": slide.fingerprint,
            "reader": slide.reader,
            "spacing_um": [slide.spacing.x_um, slide.spacing.y_um] if slide.spacing else None,
            "model": record.model_record(self.pipeline.runtime.card),
            "runtime": self.pipeline.runtime.description,
            "software": software(),
        }


def _folder(out: Path, slide: SlideInfo, card: ModelCard) -> Path:
    """Beside the flag of a model that gives one, too."""
    folder = folder_for(out, slide, card)
    if card.task is Task.SLIDE_CLASSIFICATION:
        return folder.with_name(f"{folder.name}-embeddings")
    return folder
