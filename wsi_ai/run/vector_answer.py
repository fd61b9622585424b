"""What embedding gives for a slide: a vector for each tile, and no flag."""

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard, Task
from wsi_ai.core.contracts import Aggregator, Post, RuntimeWithSource, Watcher
from wsi_ai.core.software import software
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import OutputError
from wsi_ai.heatmaps import Canvas, VectorCanvas
from wsi_ai.heatmaps.held import placed
from wsi_ai.results import record
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.embeddings import (
    EmbeddingRun,
    known_tiles,
    vectors_stand,
    write_embedding,
    write_refusal,
)
from wsi_ai.results.folder import folder_for, may_be_taken
from wsi_ai.run.answer import AnswerFor
from wsi_ai.run.asked import forget_kept, keep, looked_at, looked_at_folder, slide_asked
from wsi_ai.run.job import Collected, SlideJob
from wsi_ai.run.outcome import Embedded
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.tiles.extent import Extent


def vectors_for(
    out: Path, *, hdf5: bool = False, extent: Extent | None = None
) -> AnswerFor[Embedded]:
    return partial(_vectors, out=out, hdf5=hdf5, extent=extent)


def _vectors(
    card: ModelCard, post: Post, out: Path, *, hdf5: bool, extent: Extent | None
) -> "VectorAnswer":
    """Nothing goes to the post."""
    return VectorAnswer(card, out, hdf5, extent)


@dataclass(frozen=True, slots=True)
class VectorAnswer:
    """A vector for each tile, and no flag."""

    card: ModelCard
    out: Path
    hdf5: bool = False
    extent: Extent | None = None

    def begin(self, path: Path) -> SlideJob[Embedded]:
        return SlideJob(path)

    def open_aggregator(self) -> Aggregator | None:
        return None

    def admit(self, job: SlideJob[Embedded]) -> None:
        """Every slide: vectors say nothing of whose it is."""

    def folder(self, slide: SlideInfo) -> Path:
        """Beside the flag of a model that gives one, too."""
        folder = looked_at_folder(folder_for(self.out, slide, self.card), slide, self.extent)
        if self.card.task is Task.SLIDE_CLASSIFICATION:
            return folder.with_name(f"{folder.name}-embeddings")
        return folder

    def asked(self, job: SlideJob[Embedded], pipeline: Pipeline) -> dict[str, Any]:
        own = isinstance(pipeline.runtime, RuntimeWithSource)
        return {
            "task": "embed",
            "hdf5": self.hdf5,
            **slide_asked(job.known_info()),
            **looked_at(job.known_info(), self.extent),
            "model": record.model_record(self.card),
            "runtime": pipeline.runtime.description,
            **({"decoded_by": pipeline.source.description} if own else {}),
            "software": software(),
        }

    def may_be_known(self, name: Path) -> bool:
        return may_be_taken(name)

    def known(self, job: SlideJob[Embedded]) -> Embedded | None:
        tiles = known_tiles(job.folder, record.digest(job.asked))
        return None if tiles is None else self._embedded(job, tiles, job.folder, fresh=False)

    def canvas(
        self, job: SlideJob[Embedded], plan: TilePlan, pipeline: Pipeline, first_batch: int
    ) -> Canvas:
        plan_sha256 = record.plan_digest(plan)
        about = {**job.asked, "hdf5": None, "batch": first_batch, "plan": plan_sha256}
        return VectorCanvas(plan, self.card, keep(job.folder, about, pipeline))

    def inferring(
        self, job: SlideJob[Embedded], pipeline: Pipeline, watch: Watcher
    ) -> Generator[None, None, Collected]:
        made = job.prepared
        if made is None:
            raise ValueError("a slide came to be inferred unprepared")
        resumed = min(made.canvas.done, len(made.plan))
        yield from pipeline.collecting(made, watch, job.clock)
        canvas = placed(made.canvas)
        if not isinstance(canvas, VectorCanvas):
            raise TypeError("vectors were collected elsewhere")
        return Collected(made.look, made.recolour, canvas, resumed)

    def publish(self, job: SlideJob[Embedded]) -> Embedded:
        match job.result:
            case Assessment(flag=flag):  # a gate stopped it
                return self._refused(job, flag.reason, failed=False)
            case Collected(look, recolour, canvas, resumed):
                run = dataclasses.replace(self._run(job), resumed=resumed)
                tiles = write_embedding(run, look, recolour, canvas, hdf5=self.hdf5)
                forget_kept(job.folder)
                if not tiles:
                    return self._refused(job, "no tile of the slide could be read", failed=False)
                return self._embedded(job, tiles, job.folder, fresh=True)
        raise ValueError("a slide came to be published without its vectors")

    def failed(
        self, job: SlideJob[Embedded], reason: str, error: Exception | None = None
    ) -> Embedded:
        """Written where the slide could be opened, and no vectors stand."""
        if not job.asked or vectors_stand(job.folder):
            return self.unwritten(job, reason)
        return self._refused(job, reason, failed=True)

    def unwritten(self, job: SlideJob[Embedded], reason: str, *, judged: bool = True) -> Embedded:
        outcome = self._embedded(job, None, None, reason, fresh=True)
        return dataclasses.replace(outcome, judged=judged)

    def _refused(self, job: SlideJob[Embedded], reason: str, *, failed: bool) -> Embedded:
        try:
            write_refusal(self._run(job), reason, failed=failed)
        except OutputError as error:
            return self._embedded(job, None, None, f"{reason}; and {error}", fresh=True)
        return self._embedded(job, None, job.folder, reason, fresh=True)

    def _embedded(
        self,
        job: SlideJob[Embedded],
        tiles: int | None,
        folder: Path | None,
        reason: str = "",
        *,
        fresh: bool,
    ) -> Embedded:
        return Embedded(
            slide=job.path,
            tiles=tiles,
            reason=reason,
            folder=folder,
            fresh=fresh,
            model=self.card.ref.label,
        )

    def _run(self, job: SlideJob[Embedded]) -> EmbeddingRun:
        return EmbeddingRun(
            slide=job.info,
            card=self.card,
            folder=job.folder,
            asked=job.asked,
            runtime=job.asked["runtime"],
            device_choice=job.device_choice,
            clock=job.clock,
            started=job.started,
        )
