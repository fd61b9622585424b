"""The answer that is a heatmap and a triage flag; ``vector_answer`` has the other."""

import dataclasses
import logging
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator, Post, Watcher
from wsi_ai.core.flags import Flag, Level
from wsi_ai.core.software import software
from wsi_ai.core.timing import timestamp
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import (
    Busy,
    HeldBack,
    IdentityShared,
    OutputError,
    SlideError,
    TransportError,
    Unsent,
)
from wsi_ai.heatmaps import Canvas, Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.heatmaps.kept import KeptCanvas
from wsi_ai.inference.registry import open_aggregator
from wsi_ai.results import record
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.flag_json import Provenance, flag_json
from wsi_ai.results.folder import claimed, folder_for, hidden, may_be_taken
from wsi_ai.results.pages.wanted import Pages
from wsi_ai.results.published import OnDisk, Published
from wsi_ai.results.record import provenance
from wsi_ai.results.slide import (
    Inferred,
    RunRecord,
    finished,
    finished_scores,
    held_back_of,
    load_writers,
    write_results,
)
from wsi_ai.run.asked import forget_kept, looked_at, looked_at_folder, slide_asked
from wsi_ai.run.job import SlideJob
from wsi_ai.run.newcomer import refuse_newcomer
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.run.standing import (
    GuardedPost,
    differs,
    doubted,
    of_same_name,
    still_stands,
    written_level,
)
from wsi_ai.run.unopened import UNREAD, unopened
from wsi_ai.slides.headers import header_of_open
from wsi_ai.slides.identity import Cases, agreed, dicom_claim
from wsi_ai.slides.readers.fingerprint import has_grown
from wsi_ai.tiles.extent import Extent
from wsi_ai.triage.gates import scope_complaint
from wsi_ai.triage.judge import case_flag_id, identified, limited_flag_id, not_assessed
from wsi_ai.triage.policy import Policy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FlagAnswer:
    """A heatmap and a triage flag."""

    card: ModelCard
    post: Post
    policy: Policy
    cases: Cases
    out: Path
    formats: tuple[str, ...] = ()
    amend: bool = False
    """Send also what takes back a higher level of the same bytes."""
    rescan: bool = False
    """What comes under an identity that was known before is a new scan of the same glass."""
    force: bool = False
    """Infer even where an earlier run did."""
    extent: Extent | None = None
    """Then the flag is of a question of its own, and of no case: no sink takes it."""
    pages: Pages = Pages.REPORT
    published: Published = field(default_factory=OnDisk)

    def begin(self, path: Path) -> SlideJob[Outcome]:
        return SlideJob(path, None if self.extent else self.cases.identity_of(path))

    def open_aggregator(self) -> Aggregator | None:
        return open_aggregator(self.card)

    def admit(self, job: SlideJob[Any]) -> None:
        """Whose slide it is, by all that is known; raises IdentityInDoubt, or SlideError where the
        model is not made for it."""
        job.identity = None
        header = header_of_open(job.path, job.known_info().dicom)
        claims = [*self.cases.claims(job.path), dicom_claim(header)]
        job.identity = None if self.extent else agreed(claims)
        if complaint := scope_complaint(claims, self.card):
            raise SlideError(complaint)
        self._refuse_newcomer(job)

    def _refuse_newcomer(self, job: SlideJob[Any]) -> None:
        """Raises IdentityShared where an earlier slide with other bytes has this identity, unless
        that one was a part of this series."""
        if job.identity is None or self.rescan:
            return
        earlier = self.post.standing(case_flag_id(job.identity, self.card.ref.name))
        if earlier is None:
            return
        slide = job.known_info()
        if earlier.fingerprint and has_grown(slide.parts, earlier.fingerprint):
            return
        row = self.cases.rescan_of(job.path)
        refuse_newcomer(earlier, slide.fingerprint, job.identity, row)

    def folder(self, slide: SlideInfo) -> Path:
        return looked_at_folder(folder_for(self.out, slide, self.card), slide, self.extent)

    def asked(self, job: SlideJob[Any], pipeline: Pipeline) -> dict[str, Any]:
        slide = job.known_info()
        return {
            "identity": dataclasses.asdict(job.identity) if job.identity else None,
            **slide_asked(slide),
            "model": record.model_record(self.card),
            "policy": self.policy.as_dict(),
            "runtime": pipeline.runtime.description,
            "decoded_by": pipeline.source.description,
            "software": software(),
            **({"formats": list(self.formats)} if self.formats else {}),
            **looked_at(slide, self.extent),
        }

    def may_be_known(self, name: Path) -> bool:
        """Also where results count that are not on this disk."""
        return not isinstance(self.published, OnDisk) or may_be_taken(name)

    def known(self, job: SlideJob[Outcome]) -> Outcome | None:
        """The results stand; their flag is put again, for a crash may have come between the two,
        or a receiver since.  Where the outbox has another level for this very question, the
        results are not those that were put: then the outbox's flag is shown, and none is put."""
        flag = finished(job.folder, record.digest(job.asked))
        if flag is None:
            return None
        self.published.publish(job.folder)
        if not held_back_of(job.folder) and (put := self.guarded.other_than(flag)) is not None:
            outcome = Outcome.of_flag(job.path, dict(put), job.folder, fresh=False)
            return dataclasses.replace(outcome, held_back=differs(flag))
        outcome = Outcome.of_flag(job.path, flag, job.folder, fresh=False)
        try:
            self.guarded.put(flag)
        except HeldBack as error:
            return dataclasses.replace(outcome, held_back=str(error))
        except OutputError as error:
            reason = f"done before, but its flag could not be kept for sending: {error}"
            return Outcome.not_assessed(job.path, reason, self.card, job.folder, fresh=False)
        return outcome

    def canvas(
        self, job: SlideJob[Outcome], plan: TilePlan, pipeline: Pipeline, first_batch: int
    ) -> Canvas:
        """Of these very tiles by this very model, whatever is made of their scores: what an earlier
        run finished is judged again, what one began goes on."""
        decoded_by = pipeline.source.description
        question = record.scores_question(job.asked, self.card, plan, decoded_by)
        if not self.force and (found := finished_scores(job.folder, question)) is not None:
            job.inferred, kept = found
            return KeptCanvas(plan, self.card, job.folder, kept)
        job.inferred = Inferred(question, timestamp(job.started), software())
        keep = Keep(hidden(job.folder, "kept"), question, pipeline.source.batch_size)
        return open_canvas(plan, self.card, keep, pipeline.aggregate)

    def inferring(
        self, job: SlideJob[Outcome], pipeline: Pipeline, watch: Watcher
    ) -> Generator[None, None, Assessment]:
        if job.prepared is None:
            raise ValueError("a slide came to be inferred unprepared")
        early = self._raise_early
        turns = pipeline.inferring(job.prepared, watch, job.clock, lambda flag: early(job, flag))
        try:
            next(turns)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        load_writers()
        yield
        return (yield from turns)

    def publish(self, job: SlideJob[Outcome]) -> Outcome:
        if not isinstance(job.result, Assessment):
            raise ValueError("a slide came to be published without an assessment")  # noqa: TRY004
        run = RunRecord(
            provenance=_provenance(job),
            question=record.digest(job.asked),
            asked=job.asked,
            clock=job.clock,
            failed=False,
            early_s=job.early_s,
            formats=self.formats,
            changes=tuple(job.changes),
            device_choice=job.device_choice,
            inferred=job.inferred,
            policy=self.policy.as_table(),
            pages=self.pages,
        )
        flag = identified(self._of_own_question(job.result.flag), job.identity)
        assessment = dataclasses.replace(job.result, flag=flag)
        try:
            body = write_results(job.folder, assessment, run, self.guarded, job.slide)
        except Unsent as error:
            self.published.publish(job.folder)
            return Outcome.not_assessed(job.path, str(error), self.card, job.folder, fresh=True)
        self.published.publish(job.folder)
        forget_kept(job.folder)
        outcome = Outcome.of_flag(job.path, body, job.folder, fresh=True)
        again = job.inferred is not None and job.inferred.at != timestamp(job.started)
        return dataclasses.replace(outcome, held_back=held_back_of(job.folder), judged_again=again)

    def failed(
        self, job: SlideJob[Outcome], reason: str, error: Exception | None = None
    ) -> Outcome:
        """Write and post the ``not_assessed`` flag, where no answer stands: what does is not
        touched."""
        slide = job.info or unopened(job.path, error)
        unseen = not_assessed(slide, self.card, self.policy.triage, reason, None)
        flag = identified(self._of_own_question(unseen), job.identity)
        try:
            stands = self._standing(job, flag, error)
        except OutputError as refused:
            return self.unwritten(job, f"{reason}; and {refused}")
        if stands is not None:
            return self.unwritten(job, f"{reason}; {still_stands(stands)}")
        return self._write_failed(job, flag, reason)

    def unwritten(self, job: SlideJob[Outcome], reason: str, *, judged: bool = True) -> Outcome:
        outcome = Outcome.not_assessed(job.path, reason, self.card, None, fresh=False)
        return dataclasses.replace(outcome, judged=judged)

    def _of_own_question(self, flag: Flag) -> Flag:
        if self.extent is None:
            return flag
        asked = self.extent.digest(flag.slide.slide_id)
        return dataclasses.replace(flag, flag_id=limited_flag_id(flag.flag_id, asked))

    @property
    def guarded(self) -> GuardedPost:
        return GuardedPost(self.post, self.amend)

    def _write_failed(self, job: SlideJob[Outcome], flag: Flag, reason: str) -> Outcome:
        folder = self.folder(flag.slide)
        asked = {"slide": flag.slide.fingerprint, "policy": self.policy.as_dict()}
        question = record.digest(asked)
        origin = provenance("none", question, datetime.now(UTC))
        try:
            with claimed(folder):
                run = RunRecord(origin, question, asked, None, failed=True, pages=self.pages)
                body = write_results(folder, Assessment(flag), run, self.guarded)
                self.published.publish(folder)
        except Busy as error:
            return self.unwritten(job, f"{reason}; and {error}", judged=False)
        except OutputError as error:
            written = folder if isinstance(error, Unsent) else None
            both = f"{reason}; and {error}"
            return Outcome.not_assessed(job.path, both, self.card, written, fresh=True)
        return Outcome.of_flag(job.path, body, folder, fresh=True)

    def _standing(
        self, job: SlideJob[Outcome], flag: Flag, error: Exception | None
    ) -> Level | None:
        """The answer that a failure must not touch.  Raises OutputError."""
        sent = self.post.standing(flag.flag_id)
        if isinstance(error, IdentityShared) and sent is not None and sent.sent:
            doubt = doubted(sent.flag) if sent.flag else None
            if doubt is not None:
                self.post.put(doubt)
            return Level((doubt or {"result": {"level": sent.level}})["result"]["level"])
        if sent is not None and sent.sent and sent.level is not Level.NOT_ASSESSED:
            return sent.level
        folders = [self.folder(flag.slide)]
        self.published.look(folders[0])
        if flag.slide.reader == UNREAD:
            stem = dataclasses.replace(flag.slide, slide_id=job.path.stem).slide_id
            for name in {flag.slide.slide_id, stem}:  # of what is a folder now and was a file
                self.published.look_for(self.out, name, folders[0].name)
                folders += of_same_name(self.out, name, folders[0].name)
        whose = flag.flag_id if job.identity else None
        levels = (written_level(folder, whose) for folder in folders)
        return next((level for level in levels if level is not None), None)

    def _raise_early(self, job: SlideJob[Outcome], flag: Flag) -> None:
        """Where it cannot be kept the slide goes on: its final flag will be tried.  Raises
        SlideChanged."""
        at = job.clock.now()
        try:
            job.refuse_changed()
            self.guarded.put_early(flag_json(identified(flag, job.identity), _provenance(job)))
        except (HeldBack, OutputError, TransportError) as error:
            log.error("an early flag was not sent: %s; the final one will be", error)  # noqa: TRY400
        else:
            job.early_s = job.early_s or at


def _provenance(job: SlideJob[Outcome]) -> Provenance:
    return provenance(job.asked["runtime"], record.digest(job.asked), job.started)
