"""Jobs run on this machine, one slide by all its models at a time."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsi_ai.app import Outcome, RunOptions, give_up, run_slides
from wsi_ai.core.flags import Level
from wsi_ai.delivery.posting import Posting
from wsi_ai.errors import DeviceError, InputError, ModelError, PolicyError, SlideError, Stopped
from wsi_ai.service.job_post import JobPost, SilentPost
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.jobs import Job
from wsi_ai.service.queue import Answer, Queue
from wsi_ai.service.slide_places import NotClear, NotReady, found_file, settled_file
from wsi_ai.service.work import READY_S, SiteFault

PACS = "sectra+"
ON_TRIAL = "on-trial"
SITE = ModelError, DeviceError, PolicyError
_KINDS = {ModelError: "model", DeviceError: "device", PolicyError: "policy"}
_GRAVEST_FIRST = Level.EXPEDITE, Level.NOT_ASSESSED, Level.STANDARD


class SlideGone(SlideError):
    """Whoever has the slide does not have it any more."""


@dataclass(frozen=True, slots=True)
class ReadySlide:
    path: Path
    case: Mapping[str, str]
    """A row of ``--cases``; empty where nothing is known."""


NOT_AT_HAND = NotReady, SlideGone, NotClear, InputError
Fetch = Callable[[Job], AbstractContextManager[ReadySlide]]
"""Has a job's slide at hand while the block runs.  Raises NotReady, SlideGone, NotClear,
SiteFault."""


@dataclass(frozen=True, slots=True)
class LocalRuns:
    """See ``work.Runs``."""

    out: Path
    queue: Queue
    posting: Posting
    options: RunOptions = field(default_factory=RunOptions)
    fetches: Mapping[str, Fetch] = field(default_factory=dict)
    """By how the addresses begin that they are for; other addresses a reader opens itself."""
    quiet_s: float = 5.0
    patience_s: float = 3600.0
    """How long a slide is looked for, or at while it is written to, before that is its answer."""

    def run(self, mine: Job, watch: JobWatch) -> Answer:
        post = self.post_of(mine)
        try:
            with self.at_hand(mine) as slide, self.options_for(mine, slide) as options:
                models = [Path(name) for name in mine.asked.models]
                out = self.out_of(mine)
                outcomes = list(run_slides([slide.path], models, out, options, watch, post))
        except NOT_AT_HAND as error:
            return self.without(mine, error)
        except SITE as error:
            raise self.fault_of(error) from None
        return self.answer(mine, outcomes, post)

    def out_of(self, mine: Job) -> Path:
        """What a model on trial says lies where no page looks for results."""
        return self.out / ON_TRIAL if mine.asked.silent else self.out

    def post_of(self, mine: Job) -> JobPost | SilentPost:
        return SilentPost() if mine.asked.silent else JobPost(self.posting, self.queue, mine)

    def without(self, mine: Job, error: Exception) -> Answer:
        """The slide is not at hand.  Raises NotReady while that may change."""
        looked_s = min(self.queue.clock() - mine.created, mine.given_back * READY_S)
        if isinstance(error, NotReady) and looked_s < self.patience_s:
            raise error
        return self.give_up(mine, str(error))

    def fault_of(self, error: Exception) -> SiteFault:
        """No job can be run: every receiver of heartbeats hears of it."""
        kind = next(kind for cls, kind in _KINDS.items() if isinstance(error, cls))
        self.posting.not_started(1, kind)
        return SiteFault(str(error))

    def give_up(self, mine: Job, reason: str) -> Answer:
        post = self.post_of(mine)
        slide = ReadySlide(self._expected(mine), mine.asked.case)
        models = [Path(name) for name in mine.asked.models]
        with self.options_for(mine, slide) as options:
            try:
                out = self.out_of(mine)
                outcomes = list(give_up(slide.path, models, out, reason, options, post))
            except SITE as error:
                raise SiteFault(str(error)) from None
        return self.answer(mine, outcomes, post)

    def answer(self, mine: Job, outcomes: Sequence[Outcome], post: JobPost | SilentPost) -> Answer:
        """Raises Stopped where a model has none; NotReady, SiteFault."""
        if len(outcomes) < len(mine.asked.models):
            self.queue.beat(mine)  # lost, or else stopped
            raise Stopped("the job was stopped")
        self.posting.begun()
        if not all(outcome.judged for outcome in outcomes):
            raise NotReady("another process is at work on the slide")
        if post.unkept:
            raise SiteFault("a flag could not be kept for sending")
        post.reach_all()
        return answer_of(outcomes, post.flag_ids)

    @contextmanager
    def at_hand(self, mine: Job) -> Iterator[ReadySlide]:
        address = mine.asked.slide_uri
        for start, fetch in self.fetches.items():
            if address.startswith(start):
                with fetch(mine) as slide:
                    yield slide
                return
        if address.startswith(PACS):
            raise SiteFault("the PACS that has the slide is not among the sinks: --send")
        is_file = address.startswith("file:")
        path = settled_file(address, self.quiet_s) if is_file else Path(address)
        yield ReadySlide(path, mine.asked.case)

    def _expected(self, mine: Job) -> Path:
        """Of a slide that cannot be looked at."""
        try:
            return found_file(mine.asked.slide_uri)
        except (NotReady, NotClear):
            return Path(f"job-{mine.job_id}")

    @contextmanager
    def options_for(self, mine: Job, slide: ReadySlide) -> Iterator[RunOptions]:
        """With whose slide it is in a file of its own, for this process alone and as long as the
        block runs."""
        chosen = replace(self.options, mpp=mine.asked.mpp or self.options.mpp)
        if not slide.case:
            yield chosen
            return
        with tempfile.TemporaryDirectory(prefix="wsi-ai-job-") as folder:
            cases = Path(folder) / "cases.json"
            row = {"file": slide.path.name, **slide.case}
            descriptor = os.open(cases, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump([row], file)
            yield replace(chosen, cases=cases)


def answer_of(outcomes: Sequence[Outcome], flag_ids: Sequence[str]) -> Answer:
    """Of all models: the gravest level, and every reason once."""
    levels = {outcome.level for outcome in outcomes}
    reasons = dict.fromkeys(outcome.reason for outcome in outcomes)
    folders = [outcome.folder for outcome in outcomes if outcome.folder is not None]
    return Answer(
        level=next(level.value for level in _GRAVEST_FIRST if level in levels),
        reason="; ".join(reasons),
        result_uri=folders[0].resolve().as_uri() if folders else None,
        flag_ids=flag_ids,
    )
