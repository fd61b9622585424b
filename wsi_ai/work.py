"""A slide's three steps: prepare, infer, publish; or its own reason why not.

Each step runs in a thread of its own, so that the device does not wait between slides.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai import record
from wsi_ai.contracts import Post, Slide, Watcher
from wsi_ai.errors import Busy, OutputError, SlideError, Stopped, WsiAiError
from wsi_ai.exports.flag import Provenance, flag_json
from wsi_ai.exports.folder import claimed, hidden
from wsi_ai.flags import Flag, Identity, Level
from wsi_ai.heatmaps import Journal
from wsi_ai.identity import Cases, agreed, dicom_claim, identified, stain_complaint
from wsi_ai.outcomes import Failures, Outcome, folder_for, outcome_of, provenance
from wsi_ai.pipeline import Assessment, Pipeline, Prepared
from wsi_ai.readers.headers import case_header
from wsi_ai.results import Run, finished, write_results
from wsi_ai.settings import Policy
from wsi_ai.stopwatch import Stopwatch
from wsi_ai.values import SlideInfo, TilePlan

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SlideJob:
    """What the steps hand on.  It ends with an outcome, and then nothing is held."""

    path: Path
    held: ExitStack = field(default_factory=ExitStack)
    """The open slide, the claim on its place, the journal."""
    clock: Stopwatch = field(default_factory=lambda: Stopwatch(time.perf_counter()))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    info: SlideInfo | None = None
    identity: Identity | None = None
    folder: Path = field(default_factory=Path)
    asked: dict[str, Any] = field(default_factory=dict)
    prepared: Prepared | None = None
    assessment: Assessment | None = None
    early_s: float | None = None
    """When the flag was raised, on the run's clock, if that was before the slide was through."""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class SlideWork:
    """All that the slides of one run share."""

    pipeline: Pipeline
    policy: Policy
    out: Path
    open_slide: Callable[[Path], Slide]
    force: bool
    watch: Watcher
    cases: Cases
    post: Post
    _stop: threading.Event = field(default_factory=threading.Event)
    _epoch: float = field(default_factory=time.perf_counter)

    def prepare(self, job: SlideJob) -> SlideJob:
        """Open, look, plan, read ahead; or see that the answer is there already."""
        return self._step(job, self._prepare)

    def infer(self, job: SlideJob) -> SlideJob:
        return self._step(job, self._infer)

    def publish(self, job: SlideJob) -> SlideJob:
        return self._step(job, self._publish)

    def stop(self) -> None:
        """End what is under way soon; what was inferred is kept for the next run."""
        self._stop.set()

    def _step(self, job: SlideJob, step: Callable[[SlideJob], None]) -> SlideJob:
        """The workers' outermost step: whatever goes wrong is this slide's own reason."""
        if job.outcome is not None:
            return job
        reason = None
        try:
            self._go_on()
            step(job)
        except (Busy, Stopped) as error:
            job.outcome = Outcome(job.path, Level.NOT_ASSESSED, str(error), None, fresh=False)
        except WsiAiError as error:
            reason = str(error)
        except Exception as error:
            log.debug("a slide failed", exc_info=True)
            reason = f"internal error {type(error).__name__}; please report it with --verbose"
        if job.outcome is not None or reason is not None:
            job.held.close()
        if reason is not None:
            failures = Failures(self.pipeline.runtime.card, self.policy, self.out, self.post)
            job.outcome = failures.record(job.path, reason, job.identity, job.info)
        return job

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped("the run was stopped")

    def _prepare(self, job: SlideJob) -> None:
        job.started, job.clock = datetime.now(UTC), Stopwatch(self._epoch)
        job.identity = self.cases.identity_of(job.path)
        slide = job.held.enter_context(self.open_slide(job.path))
        job.info = slide.info
        self._identify(job)
        job.folder = folder_for(self.out, slide.info, self.pipeline.runtime.card)
        job.asked = self._asked(slide.info, job.identity)
        job.clock.lap("opening")
        job.held.enter_context(claimed(job.folder))
        if not self.force and (flag := finished(job.folder, record.digest(job.asked))):
            job.outcome = self._known(job, flag)
            return
        made = self.pipeline.prepare(slide, lambda plan: self._journal(job, plan), job.clock)
        if isinstance(made, Prepared):
            job.prepared = made
        else:
            job.assessment = made

    def _known(self, job: SlideJob, flag: dict[str, Any]) -> Outcome:
        """The results stand; their flag is put again, for a crash may have come between the two,
        or a receiver since."""
        try:
            self.post.put(flag)
        except OutputError as error:
            told = f"done before, but its flag could not be kept for sending: {error}"
            return Outcome(job.path, Level.NOT_ASSESSED, told, job.folder, fresh=False)
        return outcome_of(job.path, flag, job.folder, fresh=False)

    def _identify(self, job: SlideJob) -> None:
        """Whose slide it is, by all that is known; raises IdentityInDoubt, or SlideError where the
        model is not made for it."""
        job.identity = None
        claims = [*self.cases.claims(job.path), dicom_claim(case_header(job.path))]
        job.identity = agreed(claims)
        if stopped := stain_complaint(job.identity, self.pipeline.runtime.card):
            raise SlideError(stopped)

    def _infer(self, job: SlideJob) -> None:
        job.clock.lap("queue")
        self.watch.started(job.path)
        if job.prepared is not None:
            watch = _Stoppable(self.watch, self._go_on)
            job.assessment = self.pipeline.infer(
                job.prepared, watch, job.clock, lambda flag: self._raise_early(job, flag)
            )

    def _raise_early(self, job: SlideJob, flag: Flag) -> None:
        job.early_s = job.clock.now()
        self.post.put_early(flag_json(identified(flag, job.identity), self._provenance(job)))

    def _publish(self, job: SlideJob) -> None:
        if job.assessment is None:
            raise ValueError("a slide came to be published without an assessment")
        told, question = self._provenance(job), record.digest(job.asked)
        run = Run(told, question, job.asked, job.clock, failed=False, early_s=job.early_s)
        whose = identified(job.assessment.flag, job.identity)
        assessment = dataclasses.replace(job.assessment, flag=whose)
        flag = write_results(job.folder, assessment, run, self.post)
        hidden(job.folder, "journal").unlink(missing_ok=True)
        job.outcome = outcome_of(job.path, flag, job.folder, fresh=True)

    def _provenance(self, job: SlideJob) -> Provenance:
        question = record.digest(job.asked)
        return provenance(self.pipeline.runtime.description, question, job.started)

    def _journal(self, job: SlideJob, plan: TilePlan) -> Journal:
        """Of these very tiles by this very model; policies may differ."""
        about = {**job.asked, "policy": None, "identity": None, "plan": record.plan_digest(plan)}
        path, size = hidden(job.folder, "journal"), self.pipeline.runtime.batch_size
        journal = Journal(path, record.digest(about), plan.slide.slide_id, size)
        return job.held.enter_context(journal)

    def _asked(self, slide: SlideInfo, identity: Identity | None) -> dict[str, Any]:
        """Everything that the answer depends on."""
        return {
            "identity": dataclasses.asdict(identity) if identity else None,
            "slide": slide.fingerprint,
            "reader": slide.reader,
            "spacing_um": [slide.spacing.x_um, slide.spacing.y_um] if slide.spacing else None,
            "model": record.model_record(self.pipeline.runtime.card),
            "policy": self.policy.as_dict(),
            "runtime": self.pipeline.runtime.description,
            "decoded_by": self.pipeline.source.description,
            "software": record.software(),
        }


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """A watcher that ends the slide at hand once the run is to stop."""

    watch: Watcher
    go_on: Callable[[], None]

    def started(self, slide: Path) -> None:
        self.watch.started(slide)

    def planned(self, tiles: int, done: int) -> None:
        self.watch.planned(tiles, done)

    def passed(self, done: int) -> None:
        self.go_on()
        self.watch.passed(done)
