"""The answer that nobody sees: a flag and its record go to a keeper, and nothing is written.

Of a silent trial.  What a person hears of a slide is that it was kept, never how it was judged.
"""

import dataclasses
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator, Post, Watcher
from wsi_ai.core.seals import seal
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.heatmaps import Canvas, Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.flag_json import flag_json
from wsi_ai.results.folder import hidden
from wsi_ai.results.record import digest, provenance
from wsi_ai.results.slide import RunRecord, full_record
from wsi_ai.run.asked import forget_kept
from wsi_ai.run.flag_answer import FlagAnswer
from wsi_ai.run.job import SlideJob
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.outcome import Ended
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.run.unopened import unopened
from wsi_ai.slides.identity import Cases
from wsi_ai.triage.judge import identified, not_assessed
from wsi_ai.triage.policy import Policy, policy_for

NOT_KEPT = "it could not be kept; the same command tries it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Ended):
    """Of a slide whose flag went to a keeper.  It does not say which flag."""

    kept: bool
    """Or it was, by an earlier run."""

    def answer_record(self) -> dict[str, Any]:
        return {"kept": self.kept}


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """All that is known of a slide and a model."""

    slide_sha256: str
    question_sha256: str
    """Over everything that the answer depends on."""
    policy_sha256: str
    """Over every value of the policy that judged it."""
    rescan: bool
    """It was said to be a new scan of a glass that was scanned before."""
    flag: Mapping[str, Any]
    run: Mapping[str, Any]
    """As run.json has it."""


class Keeper(Protocol):
    """It can be sent to another process."""

    def known(self, slide_sha256: str, question_sha256: str) -> bool:
        """Whether this very question was answered before.  Raises TrialError or OutputError."""
        ...

    def keep(self, answered: Answered) -> bool:
        """False where it was kept before.  Raises TrialError or OutputError."""
        ...


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """See ``Answer``.  ``flags`` says what is asked of a slide; it never writes here."""

    flags: FlagAnswer
    keeper: Keeper

    def begin(self, path: Path) -> SlideJob[Kept]:
        return SlideJob(path, self.flags.cases.identity_of(path))

    def open_aggregator(self) -> Aggregator | None:
        return self.flags.open_aggregator()

    def admit(self, job: SlideJob[Kept]) -> None:
        self.flags.admit(job)

    def folder(self, slide: SlideInfo) -> Path:
        return self.flags.folder(slide)

    def asked(self, job: SlideJob[Kept], pipeline: Pipeline) -> dict[str, Any]:
        return self.flags.asked(job, pipeline)

    def may_be_known(self, name: Path) -> bool:
        """Only the keeper knows, and only by the bytes."""
        return True

    def known(self, job: SlideJob[Kept]) -> Kept | None:
        known = self.keeper.known(job.known_info().fingerprint, digest(job.asked))
        return self._ended(job, fresh=False) if known else None

    def canvas(
        self, job: SlideJob[Kept], plan: TilePlan, pipeline: Pipeline, first_batch: int
    ) -> Canvas:
        keep = Keep(hidden(job.folder, "kept"), digest(job.asked), pipeline.source.batch_size)
        return open_canvas(plan, self.flags.card, keep, pipeline.aggregate)

    def inferring(
        self, job: SlideJob[Kept], pipeline: Pipeline, watch: Watcher
    ) -> Generator[None, None, Assessment]:
        if job.prepared is None:
            raise ValueError("a slide came to be inferred unprepared")
        return pipeline.inferring(job.prepared, watch, job.clock, _nobody_hears)

    def publish(self, job: SlideJob[Kept]) -> Kept:
        if not isinstance(job.result, Assessment):
            raise ValueError("a slide came to be published without an assessment")  # noqa: TRY004
        question = digest(job.asked)
        run = RunRecord(
            provenance=provenance(job.asked["runtime"], question, job.started),
            question=question,
            asked=job.asked,
            clock=job.clock,
            failed=False,
            changes=tuple(job.changes),
            policy=self.flags.policy.as_table(),
        )
        flag = identified(job.result.flag, job.identity)
        kept = self._keep(job, dataclasses.replace(job.result, flag=flag), run)
        forget_kept(job.folder)
        return kept

    def failed(self, job: SlideJob[Kept], reason: str, error: Exception | None = None) -> Kept:
        """A slide that cannot be analysed is kept as one that was not assessed; but that nothing
        can be kept says nothing of a slide."""
        if isinstance(error, OutputError | TrialError):
            return self._ended(job, str(error), kept=False, fresh=False)
        slide = job.info or unopened(job.path, error)
        unseen = not_assessed(slide, self.flags.card, self.flags.policy.triage, reason, None)
        flag = identified(unseen, job.identity)
        whose = dataclasses.asdict(job.identity) if job.identity else None
        policy = self.flags.policy.as_dict()
        asked = {"slide": slide.fingerprint, "policy": policy, "case": whose, "failed": True}
        question = seal("kept-1", digest(asked).encode()).hex()  # nobody can try whether it failed
        origin = provenance("none", question, datetime.now(UTC))
        run = RunRecord(origin, question, asked, None, failed=True)
        return self._keep(job, Assessment(flag), run)

    def unwritten(self, job: SlideJob[Kept], reason: str, *, judged: bool = True) -> Kept:
        """``reason`` may say how the slide was judged, where it was."""
        ended = self._ended(job, NOT_KEPT if judged else reason, kept=False, fresh=False)
        return dataclasses.replace(ended, judged=judged)

    def _keep(self, job: SlideJob[Kept], made: Assessment, run: RunRecord) -> Kept:
        fresh = self.keeper.keep(
            Answered(
                slide_sha256=made.flag.slide.fingerprint,
                question_sha256=run.question,
                policy_sha256=digest(self.flags.policy.as_dict()),
                rescan=self._is_rescan(job),
                flag=flag_json(made.flag, run.provenance),
                run=full_record(made, run),
            )
        )
        return self._ended(job, fresh=fresh)

    def _is_rescan(self, job: SlideJob[Kept]) -> bool:
        if self.flags.rescan or job.identity is None:
            return self.flags.rescan
        return bool(self.flags.cases.rescan_of(job.path))

    def _ended(
        self, job: SlideJob[Kept], reason: str = "", *, fresh: bool, kept: bool = True
    ) -> Kept:
        return Kept(
            slide=job.path,
            reason=reason,
            folder=None,
            fresh=fresh,
            kept=kept,
            model=self.flags.card.ref.label,
        )


def _nobody_hears(_: object) -> None:
    """An early flag goes nowhere."""


@dataclass(frozen=True, slots=True)
class KeptFor:
    """An ``AnswerFor``: flags that go to a keeper, by any of a run's models."""

    keeper: Keeper
    policy: Policy | None
    cases: Cases
    work: Path
    rescan: bool

    def __call__(self, card: ModelCard, post: Post) -> KeptAnswer:
        """Nothing is put to ``post``."""
        policy = policy_for(card, self.policy)
        flags = FlagAnswer(card, NoPost(), policy, self.cases, self.work, rescan=self.rescan)
        return KeptAnswer(flags, self.keeper)
