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
from functools import partial
from pathlib import Path
from typing import Generic

from wsi_ai.core.contracts import Slide, VouchedSlide, Watcher
from wsi_ai.core.memory import collect, give_back
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import Busy, DeviceError, SlideChanged, Stopped
from wsi_ai.heatmaps import Canvas
from wsi_ai.heatmaps.held import HeldCanvas
from wsi_ai.models.fastest.open_fastest import choice_record
from wsi_ai.results.folder import Places, has_begun
from wsi_ai.run.answer import Answer
from wsi_ai.run.asked import forget_kept
from wsi_ai.run.attempt import Failed, attempt
from wsi_ai.run.engine import Engine
from wsi_ai.run.job import SlideJob, Stoppable
from wsi_ai.run.outcome import Out
from wsi_ai.run.pipeline import Pipeline, Prepared
from wsi_ai.run.unchanged import file_states
from wsi_ai.slides.readers.fingerprint import CHANGED

Elsewhere = Callable[[Path, str], bool]
"""Takes a slide whose device failed, for this reason, to another device; false where there is
none."""
_THROUGH = object()
_ANY_BYTES = "0" * 64


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
        failed = self._locate_failed(job) or failed
        job.held.close()
        outcomes = list[Out]()

        def record() -> None:
            outcomes.append(self.answer.failed(job, failed.reason, failed.error))

        if again := attempt(record):
            outcomes = [self.answer.unwritten(job, f"{failed.reason}; and {again.reason}")]
        job.clock.lap(stage)
        job.end(outcomes[0])

    def _locate_failed(self, job: SlideJob[Out]) -> Failed | None:
        """Its failure is written of its bytes: where these cannot be read, of a slide that could
        not be opened."""
        if job.slide is None or job.asked:
            return None
        unread = attempt(job.place.locate)
        if unread is not None:
            job.slide = None
        return unread

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped("the run was stopped")

    def _prepare(self, job: SlideJob[Out]) -> None:
        job.started, job.clock = datetime.now(UTC), Stopwatch(self.epoch)
        job.files = file_states(job.path)
        slide = job.slide = job.held.enter_context(self.open_slide(job.path))
        job.refuse_changed = partial(self._refuse_changed, job)
        job.place.locate = partial(_hashed, slide)
        self.answer.admit(job)
        job.generation, pipeline = self.engine.current()
        job.place.locate = partial(self._locate, job, pipeline)
        job.held.enter_context(job.place.claim)
        job.held.enter_context(job.place.unplaced)
        if not self._is_new(job, slide.info):
            job.place.locate()
            job.clock.lap("opening")
            self._claim(job)
            if not self.force and (known := self.answer.known(job)) is not None:
                job.end(known)
                return
        else:
            job.clock.lap("opening")
        made = pipeline.prepare(slide, lambda plan: self._canvas(job, plan, pipeline), job.clock)
        if isinstance(made, Prepared):
            job.prepared = made
            job.held.callback(made.close)
        else:
            job.result = made

    def _is_new(self, job: SlideJob[Out], slide: SlideInfo) -> bool:
        """Whether it can be looked at and inferred before its digest says where that belongs: there
        is no answer that it could have, and nothing that could go on."""
        name = self.answer.folder(dataclasses.replace(slide, digest=_ANY_BYTES))
        self.places.await_name(name)
        if slide.is_hashed or self.answer.may_be_known(name):
            return False
        job.place.unplaced.enter_context(self.places.unplaced(name))
        return True

    def _locate(self, job: SlideJob[Out], pipeline: Pipeline) -> None:
        job.folder = self.answer.folder(job.known_info())
        self._ask(job, pipeline)

    def _claim(self, job: SlideJob[Out]) -> None:
        job.place.claim.enter_context(self.places.claimed(job.folder))
        job.place.is_claimed = True
        job.place.unplaced.close()

    def _place(self, job: SlideJob[Out]) -> None:
        """Claim what was not known before.  Raises Busy where another run came first, SlideChanged
        where the digest may not be of what was read before it."""
        if not job.place.is_claimed:
            job.place.locate()
            if job.known_info().was_touched:
                raise SlideChanged(CHANGED)
            self._claim(job)
            if has_begun(job.folder):
                raise Busy("another run was at work on this slide meanwhile; run it again")

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
        job.place.locate = partial(self._locate, job, pipeline)
        if job.place.is_claimed:
            job.place.locate()
        canvas = self._canvas(job, job.prepared.plan, pipeline)
        job.prepared = pipeline.start_again(job.slide, job.prepared, canvas)
        job.held.callback(job.prepared.close)
        job.clock.lap("another device")

    def _ask(self, job: SlideJob[Out], pipeline: Pipeline) -> None:
        job.asked = self.answer.asked(job, pipeline)
        job.device_choice = choice_record(pipeline.runtime)

    def _canvas(self, job: SlideJob[Out], plan: TilePlan, pipeline: Pipeline) -> Canvas:
        info = job.known_info()

        def place() -> Canvas:
            if not info.is_hashed:
                job.clock.lap("inference")
                job.place.locate()
                job.clock.lap("fingerprint")
            self._place(job)
            return self.answer.canvas(job, plan, pipeline, self.engine.batch_size)

        canvas: Canvas
        if job.place.is_claimed or info.is_hashed:
            canvas = place()
        else:
            canvas = HeldCanvas(lambda: info.is_hashed, place, pipeline.source.batch_size)
        return job.held.enter_context(closing(canvas))

    def _refuse_changed(self, job: SlideJob[Out]) -> None:
        """The digest vouches for the bytes that were read.  Raises SlideChanged."""
        if not (self._is_the_same(job) and self._by_name(job)):
            forget_kept(job.folder)
            raise SlideChanged(CHANGED)

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
        self._place(job)
        self._refuse_changed(job)
        outcome = self.answer.publish(job)
        job.clock.lap("writing")
        job.end(outcome)
        collect()


def _hashed(slide: Slide) -> None:
    """Raises SlideError."""
    _ = slide.info.fingerprint
