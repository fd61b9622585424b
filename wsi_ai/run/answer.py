"""What a run gives for a slide and a model: a flag, or a vector for each tile.

``SlideSteps`` leads every slide the same way and asks an ``Answer`` for what is its own.
"""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator, Post, Watcher
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.heatmaps import Canvas
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.job import Collected, SlideJob
from wsi_ai.run.outcome import Out
from wsi_ai.run.pipeline import Pipeline


class Answer(Protocol[Out]):
    """Of one model, to any slide.  The steps take a job that it began."""

    def begin(self, path: Path) -> SlideJob[Out]: ...

    def open_aggregator(self) -> Aggregator | None:
        """A second network, where the answer needs it.  Raises ModelError or DeviceError."""
        ...

    def admit(self, job: SlideJob[Out]) -> None:
        """Of an open slide.  Raises SlideError where it is not to be asked about."""
        ...

    def folder(self, slide: SlideInfo) -> Path:
        """Where the results go."""
        ...

    def asked(self, job: SlideJob[Out], pipeline: Pipeline) -> dict[str, Any]:
        """Everything that the answer depends on."""
        ...

    def may_be_known(self, name: Path) -> bool:
        """Whether something may be there of a slide that is called as this one, which has no bytes
        yet; ``name`` is its ``folder``.  Else inference need not wait for the bytes."""
        ...

    def known(self, job: SlideJob[Out]) -> Out | None:
        """Where this very question was answered before."""
        ...

    def canvas(
        self, job: SlideJob[Out], plan: TilePlan, pipeline: Pipeline, first_batch: int
    ) -> Canvas:
        """Empty, or with what an earlier run kept.  ``first_batch`` is the number of tiles at once
        that the run began with."""
        ...

    def inferring(
        self, job: SlideJob[Out], pipeline: Pipeline, watch: Watcher
    ) -> Generator[None, None, Assessment | Collected]:
        """One turn a batch."""
        ...

    def publish(self, job: SlideJob[Out]) -> Out: ...

    def failed(self, job: SlideJob[Out], reason: str, error: Exception | None = None) -> Out:
        """Say of a slide that could not be analysed that it was not, and why; an answer that
        stands is left as it is."""
        ...

    def unwritten(self, job: SlideJob[Out], reason: str, *, judged: bool = True) -> Out:
        """Nothing is written of the slide.  Not ``judged`` where it is in another's hands."""
        ...


AnswerFor = Callable[[ModelCard, Post], Answer[Out]]
"""What a run gives, by any of its models.  It can be sent to another process."""
