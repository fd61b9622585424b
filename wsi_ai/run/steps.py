"""A slide's three steps: prepare, infer, publish; or its own reason why not.

Each step runs in a thread of its own, so that the device does not wait between slides.
"""

import dataclasses
import logging
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import told_model
from wsi_ai.core.contracts import Post, Slide, Watcher
from wsi_ai.core.flags import Flag, Identity, Level
from wsi_ai.core.memory import give_back
from wsi_ai.core.software import software
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import Busy, DeviceError, OutputError, SlideError, Stopped, Unsent
from wsi_ai.heatmaps import Canvas, Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.results import record
from wsi_ai.results.flag_json import Provenance, flag_json
from wsi_ai.results.folder import Places, folder_for, hidden
from wsi_ai.results.record import provenance
from wsi_ai.results.slide import RunRecord, finished, write_results
from wsi_ai.run.attempt import Failed, attempt
from wsi_ai.run.engine import Engine
from wsi_ai.run.job import SlideJob, Stoppable
from wsi_ai.run.outcome import Failures, Outcome, outcome_of
from wsi_ai.run.pipeline import Pipeline, Prepared
from wsi_ai.run.stages import in_turns
from wsi_ai.slides.identity import Cases, agreed, dicom_claim
from wsi_ai.slides.readers.dicom.case_header import case_header
from wsi_ai.triage.gates import scope_complaint
from wsi_ai.triage.judge import identified
from wsi_ai.triage.policy import Policy

log = logging.getLogger(__name__)


Elsewhere = Callable[[Path, str], bool]
"""Takes a slide whose device failed, for this reason, to another device; false where there is
none."""


def no_other_device(slide: Path, reason: str) -> bool:
    """There is no other device."""
    return False


@dataclass(frozen=True, slots=True)
class SlideWork:
    """All that the slides of one run share."""

    engine: Engine
    policy: Policy
    out: Path
    open_slide: Callable[[Path], AbstractContextManager[Slide]]
    force: bool
    cases: Cases
    post: Post
    formats: tuple[str, ...] = ()
    elsewhere: Elsewhere = no_other_device
    epoch: float = field(default_factory=time.perf_counter)
    places: Places = field(default_factory=Places)
    _stop: threading.Event = field(default_factory=threading.Event)

    def begin(self, slide: Path) -> SlideJob:
        return SlideJob(slide)

    def prepare(self, job: SlideJob) -> SlideJob:
        """Open, look, plan; or see that the answer is there already."""
        return self._step(job, self._prepare, "opening")

    def read_ahead(self, job: SlideJob) -> SlideJob:
        """Begin to read the tiles that are still to be inferred."""
        return self._step(job, self._read_ahead, "first tiles")

    def inferring(self, job: SlideJob, watch: Watcher) -> Iterator[None]:
        """Infer, one turn a batch, so that models may take turns."""

        def infer(go_on: Callable[[SlideJob], None]) -> SlideJob:
            return self._step(job, go_on, "inference")

        return in_turns(self._infer(job, watch), infer, lambda: job.over)

    def publish(self, job: SlideJob) -> SlideJob:
        return self._step(job, self._publish, "writing")

    def stop(self) -> None:
        """End what is under way soon; what was inferred is kept for the next run."""
        self._stop.set()

    def _step(self, job: SlideJob, step: Callable[[SlideJob], None], stage: str) -> SlideJob:
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

    def _ended(self, job: SlideJob, failed: Failed, stage: str) -> None:
        lost = isinstance(failed.error, DeviceError)
        if isinstance(failed.error, Busy):
            job.end(self._untold(job, failed.reason, None))
        elif isinstance(failed.error, Stopped) or (
            lost and self.elsewhere(job.path, failed.reason)
        ):
            job.end()
        else:
            self._fail(job, failed.reason, stage)

    def _fail(self, job: SlideJob, reason: str, stage: str) -> None:
        job.held.close()
        info = job.slide.info if job.slide else None
        failures = Failures(self.engine.card, self.policy, self.out, self.post)
        outcome = failures.record(job.path, reason, job.identity, info)
        job.clock.lap(stage)
        job.end(outcome)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped("the run was stopped")

    def _prepare(self, job: SlideJob) -> None:
        job.started, job.clock = datetime.now(UTC), Stopwatch(self.epoch)
        job.identity = self.cases.identity_of(job.path)
        slide = job.slide = job.held.enter_context(self.open_slide(job.path))
        self._identify(job)
        job.folder = folder_for(self.out, slide.info, self.engine.card)
        job.generation, pipeline = self.engine.current()
        job.asked = self._asked(slide.info, job.identity, pipeline)
        job.clock.lap("opening")
        job.held.enter_context(self.places.claimed(job.folder))
        if not self.force and (flag := finished(job.folder, record.digest(job.asked))):
            job.end(self._known(job, flag))
            return
        made = pipeline.prepare(slide, lambda plan: self._canvas(job, plan, pipeline), job.clock)
        if isinstance(made, Prepared):
            job.prepared = made
            job.held.callback(made.close)
        else:
            job.assessment = made

    def _known(self, job: SlideJob, flag: dict[str, Any]) -> Outcome:
        """The results stand; their flag is put again, for a crash may have come between the two,
        or a receiver since."""
        try:
            self.post.put(flag)
        except OutputError as error:
            told = f"done before, but its flag could not be kept for sending: {error}"
            return self._untold(job, told, job.folder)
        return outcome_of(job.path, flag, job.folder, fresh=False)

    def _untold(
        self, job: SlideJob, reason: str, folder: Path | None, *, fresh: bool = False
    ) -> Outcome:
        """Of which no flag that was sent says anything new."""
        model = told_model(self.engine.card)
        return Outcome(job.path, Level.NOT_ASSESSED, reason, folder, fresh=fresh, model=model)

    def _identify(self, job: SlideJob) -> None:
        """Whose slide it is, by all that is known; raises IdentityInDoubt, or SlideError where the
        model is not made for it."""
        job.identity = None
        claims = [*self.cases.claims(job.path), dicom_claim(case_header(job.path))]
        job.identity = agreed(claims)
        if stopped := scope_complaint(claims, self.engine.card):
            raise SlideError(stopped)

    def _read_ahead(self, job: SlideJob) -> None:
        if job.prepared is not None:
            job.clock.began()
            job.prepared = job.prepared.read_ahead()
            job.clock.lap("first tiles")

    def _infer(self, job: SlideJob, watch: Watcher) -> Iterator[None]:
        job.clock.lap("queue")
        while job.prepared is not None and job.assessment is None:
            if failed := (yield from self._attempt(job, watch)):
                job.clock.lap("inference")
                job.changes.append(self.engine.replace_after(failed))
        job.prepared = None

    def _attempt(self, job: SlideJob, watch: Watcher) -> Generator[None, None, DeviceError | None]:
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
            made = yield from pipeline.inferring(
                job.prepared,
                Stoppable(watch, self._go_on),
                job.clock,
                lambda flag: self._raise_early(job, flag),
            )
        except DeviceError as error:
            return type(error)(str(error))
        job.assessment = dataclasses.replace(made, resumed=min(made.resumed, job.resumed))
        return None

    def _start_again(self, job: SlideJob, pipeline: Pipeline) -> None:
        """For another runtime than the one that it was prepared for; what that one has inferred
        stays where the two are of one kind."""
        if job.prepared is None or job.slide is None:
            return
        job.prepared.close()
        job.prepared.canvas.close()
        job.asked = self._asked(job.slide.info, job.identity, pipeline)
        canvas = self._canvas(job, job.prepared.plan, pipeline)
        job.prepared = pipeline.start_again(job.slide, job.prepared, canvas)
        job.held.callback(job.prepared.close)
        job.clock.lap("another device")

    def _raise_early(self, job: SlideJob, flag: Flag) -> None:
        """Where it cannot be kept the slide goes on: its final flag will be tried."""
        at = job.clock.now()
        try:
            self.post.put_early(flag_json(identified(flag, job.identity), self._provenance(job)))
        except OutputError as error:
            log.error("an early flag was not sent: %s; the final one will be", error)  # noqa: TRY400
        else:
            job.early_s = job.early_s or at

    def _publish(self, job: SlideJob) -> None:
        if job.assessment is None:
            raise ValueError("a slide came to be published without an assessment")
        give_back()  # outlining large findings took many small blocks
        job.clock.lap("queue")
        origin, question = self._provenance(job), record.digest(job.asked)
        run = RunRecord(
            provenance=origin,
            question=question,
            asked=job.asked,
            clock=job.clock,
            failed=False,
            early_s=job.early_s,
            formats=self.formats,
            changes=tuple(job.changes),
        )
        whose = identified(job.assessment.flag, job.identity)
        assessment = dataclasses.replace(job.assessment, flag=whose)
        try:
            flag = write_results(job.folder, assessment, run, self.post)
        except Unsent as error:
            job.clock.lap("writing")
            job.end(self._untold(job, str(error), job.folder, fresh=True))
            return
        shutil.rmtree(hidden(job.folder, "kept"), ignore_errors=True)
        job.clock.lap("writing")
        job.end(outcome_of(job.path, flag, job.folder, fresh=True))

    def _provenance(self, job: SlideJob) -> Provenance:
        return provenance(job.asked["runtime"], record.digest(job.asked), job.started)

    def _canvas(self, job: SlideJob, plan: TilePlan, pipeline: Pipeline) -> Canvas:
        """Of these very tiles by this very model; policies may differ."""
        about = {**job.asked, "policy": None, "identity": None, "plan": record.plan_digest(plan)}
        size = pipeline.source.batch_size
        keep = Keep(hidden(job.folder, "kept"), record.digest(about), size)
        canvas = open_canvas(plan, pipeline.runtime.card, keep, pipeline.aggregate)
        return job.held.enter_context(closing(canvas))

    def _asked(
        self, slide: SlideInfo, identity: Identity | None, pipeline: Pipeline
    ) -> dict[str, Any]:
        """Everything that the answer depends on."""
        return {
            "identity": dataclasses.asdict(identity) if identity else None,
            "slide": slide.fingerprint,
            "reader": slide.reader,
            "spacing_um": [slide.spacing.x_um, slide.spacing.y_um] if slide.spacing else None,
            "model": record.model_record(pipeline.runtime.card),
            "policy": self.policy.as_dict(),
            "runtime": pipeline.runtime.description,
            "decoded_by": pipeline.source.description,
            "software": software(),
            **({"formats": list(self.formats)} if self.formats else {}),
        }
