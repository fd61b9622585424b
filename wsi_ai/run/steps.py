"""A slide's three steps: prepare, infer, publish; or its own reason why not.

Each step runs in a thread of its own, so that the device does not wait between slides.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic

from wsi_ai.core.contracts import Slide, VouchedSlide, Watcher
from wsi_ai.core.memory import collect, give_back
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import TilePlan
from wsi_ai.errors import Busy, DeviceError, SlideChanged, Stopped
from wsi_ai.heatmaps import Canvas
from wsi_ai.models.fastest.open_fastest import choice_record
from wsi_ai.results.folder import Places
from wsi_ai.run.answer import Answer
from wsi_ai.run.asked import forget_kept
from wsi_ai.run.attempt import Failed, attempt
from wsi_ai.run.engine import Engine
from wsi_ai.run.job import SlideJob, Stoppable
from wsi_ai.run.outcome import Out
from wsi_ai.run.pipeline import Pipeline, Prepared
from wsi_ai.run.unchanged import file_states

Elsewhere = Callable[[Path, str], bool]
"""Takes a slide whose device failed, for this reason, to another device; false where there is
none."""
_THROUGH = object()


def no_other_device(slide: Path, reason: str) -> bool:
    """There is no other device."""
    return False


@dataclass(frozen=True, slots=True)
class SlideSteps(Generic[Out]):
    """All that the slides of one run share, by one model."""

    engine: Engine
    answer: Answer[Out]
    open_slide: Callable[[Path], AbstractContextManager[Slide]]
    """However many use it at once, one opening."""
    reopen: Callable[[Path], AbstractContextManager[Slide]]
    """Anew, from the disk."""
    force: bool = False
    elsewhere: Elsewhere = no_other_device
    epoch: float = field(default_factory=time.perf_counter)
    places: Places = field(default_factory=Places)
    _stop: threading.Event = field(default_factory=threading.Event)

    def begin(self, slide: Path) -> SlideJob[Out]:
        return self.answer.begin(slide)

    def prepare(self, job: SlideJob[Out]) -> SlideJob[Out]:
        """Open, look, plan; or see that the answer is there already."""
        return self._step(job, self._prepare, "opening")

    def read_ahead(self, job: SlideJob[Out]) -> SlideJob[Out]:
        """Begin to read the tiles that are still to be inferred."""
        return self._step(job, self._read_ahead, "first tiles")

    def inferring(self, job: SlideJob[Out], watch: Watcher) -> Iterator[None]:
        """Infer, one turn a batch, so that models may take turns."""
        turns, going = self._infer(job, watch), True

        def take_turn(_: SlideJob[Out]) -> None:
            nonlocal going
            going = next(turns, _THROUGH) is not _THROUGH

        while going and not job.over:
            self._step(job, take_turn, "inference")
            yield

    def publish(self, job: SlideJob[Out]) -> SlideJob[Out]:
        return self._step(job, self._publish, "writing")

    def stop(self) -> None:
        """End what is under way soon; what was inferred is kept for the next run."""
        self._stop.set()

    def _step(
        self, job: SlideJob[Out], step: Callable[[SlideJob[Out]], None], stage: str
    ) -> SlideJob[Out]:
        """Whatever goes wrong is this slide's own reason, and the time since the last lap went to
        ``stage``."""
        if job.over:
            return job

        def checked() -> None:
            self._go_on()
            step(job)

        failed = attempt(checked)
        if failed is not None:
            self._ended(job, failed, stage)
        return job

    def _ended(self, job: SlideJob[Out], failed: Failed, stage: str) -> None:
        lost = isinstance(failed.error, DeviceError)
        if isinstance(failed.error, Busy):
            job.end(self.answer.unwritten(job, failed.reason, judged=False))
        elif isinstance(failed.error, Stopped) or (
            lost and self.elsewhere(job.path, failed.reason)
        ):
            job.end()
        else:
            self._fail(job, failed, stage)

    def _fail(self, job: SlideJob[Out], failed: Failed, stage: str) -> None:
        """Where not even the reason can be written, the run goes on with the next slide."""
        job.held.close()
        outcomes = list[Out]()

        def record() -> None:
            outcomes.append(self.answer.failed(job, failed.reason, failed.error))

        if again := attempt(record):
            outcomes = [self.answer.unwritten(job, f"{failed.reason}; and {again.reason}")]
        job.clock.lap(stage)
        job.end(outcomes[0])

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped("the run was stopped")

    def _prepare(self, job: SlideJob[Out]) -> None:
        job.started, job.clock = datetime.now(UTC), Stopwatch(self.epoch)
        job.files = file_states(job.path)
        slide = job.slide = job.held.enter_context(self.open_slide(job.path))
        self.answer.admit(job)
        job.folder = self.answer.folder(slide.info)
        job.generation, pipeline = self.engine.current()
        self._ask(job, pipeline)
        job.clock.lap("opening")
        job.held.enter_context(self.places.claimed(job.folder))
        if not self.force and (known := self.answer.known(job)) is not None:
            job.end(known)
            return
        made = pipeline.prepare(slide, lambda plan: self._canvas(job, plan, pipeline), job.clock)
        if isinstance(made, Prepared):
            job.prepared = made
            job.held.callback(made.close)
        else:
            job.result = made

    def _read_ahead(self, job: SlideJob[Out]) -> None:
        if job.prepared is not None:
            job.clock.began()
            job.prepared = job.prepared.read_ahead()
            job.clock.lap("first tiles")

    def _infer(self, job: SlideJob[Out], watch: Watcher) -> Iterator[None]:
        job.clock.lap("queue")
        while job.prepared is not None and job.result is None:
            if failed := (yield from self._attempt(job, watch)):
                job.clock.lap("inference")
                job.changes.append(self.engine.replace_after(failed))
        job.prepared = None

    def _attempt(
        self, job: SlideJob[Out], watch: Watcher
    ) -> Generator[None, None, DeviceError | None]:
        """Infer what is left.  The device's error comes back without what it held in memory."""
        generation, pipeline = self.engine.current()
        if generation != job.generation:
            self._start_again(job, pipeline)
            job.generation = generation
        if job.prepared is None:
            raise ValueError("a slide came to be inferred unprepared")
        if job.resumed is None:
            job.resumed = min(job.prepared.canvas.done, len(job.prepared.plan))
        try:
            made = yield from self.answer.inferring(job, pipeline, Stoppable(watch, self._go_on))
        except DeviceError as error:
            return type(error)(str(error))
        job.result = dataclasses.replace(made, resumed=min(made.resumed, job.resumed))
        return None

    def _start_again(self, job: SlideJob[Out], pipeline: Pipeline) -> None:
        """For another runtime than the one that it was prepared for; what that one has inferred
        stays where the two are of one kind."""
        if job.prepared is None or job.slide is None:
            return
        job.prepared.close()
        job.prepared.canvas.close()
        self._ask(job, pipeline)
        canvas = self._canvas(job, job.prepared.plan, pipeline)
        job.prepared = pipeline.start_again(job.slide, job.prepared, canvas)
        job.held.callback(job.prepared.close)
        job.clock.lap("another device")

    def _ask(self, job: SlideJob[Out], pipeline: Pipeline) -> None:
        job.asked = self.answer.asked(job, pipeline)
        job.device_choice = choice_record(pipeline.runtime)

    def _canvas(self, job: SlideJob[Out], plan: TilePlan, pipeline: Pipeline) -> Canvas:
        canvas = self.answer.canvas(job, plan, pipeline, self.engine.batch_size)
        return job.held.enter_context(closing(canvas))

    def _refuse_changed(self, job: SlideJob[Out]) -> None:
        """The digest vouches for the bytes that were read.  Raises SlideChanged."""
        if not (self._is_the_same(job) and self._by_name(job)):
            forget_kept(job.folder)
            raise SlideChanged("the file changed while it was read; run it again")

    def _is_the_same(self, job: SlideJob[Out]) -> bool:
        """By the files that it is read through."""
        return not isinstance(job.slide, VouchedSlide) or job.slide.unchanged()

    def _by_name(self, job: SlideJob[Out]) -> bool:
        if file_states(job.path) == job.files:
            return True
        with self.reopen(job.path) as slide:
            return slide.info.fingerprint == job.known_info().fingerprint

    def _publish(self, job: SlideJob[Out]) -> None:
        give_back()  # outlining large findings took many small blocks
        job.clock.lap("queue")
        self._refuse_changed(job)
        outcome = self.answer.publish(job)
        job.clock.lap("writing")
        job.end(outcome)
        collect()
