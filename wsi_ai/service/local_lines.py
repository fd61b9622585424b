"""Jobs that want the same models, one behind the other on this machine's device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from wsi_ai.app import LineSlide, Outcome, run_line
from wsi_ai.errors import DeviceError
from wsi_ai.inference.registry import devices_asked
from wsi_ai.service.claiming import MOST_FAILURES
from wsi_ai.service.job_post import JobPost, SilentPost
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.jobs import Job
from wsi_ai.service.local_runs import NOT_AT_HAND, SITE, LocalRuns
from wsi_ai.service.queue import Answer
from wsi_ai.service.slide_places import NotReady
from wsi_ai.service.work import Came
from wsi_ai.slides.identity import load_cases

Ended = Callable[[Job, Came], None]


@dataclass(frozen=True, slots=True)
class LocalLines:
    """See ``work.Lines``."""

    runs: LocalRuns

    def shares(self, mine: Job, other: Job) -> bool:
        """With several devices each slide has all of them, and runs alone."""
        one_device = len(devices_asked(self.runs.options.device)) == 1
        same_place = self.runs.out_of(mine) == self.runs.out_of(other)
        return one_device and same_place and mine.asked.models == other.asked.models

    def line(self, ended: Ended) -> "LocalLine":
        return LocalLine(self.runs, ended)


@dataclass(frozen=True, slots=True)
class LocalLine:
    """See ``work.Line``."""

    runs: LocalRuns
    ended: Ended
    _paths: set[Path] = field(default_factory=set)
    """Of the slides that are on it."""

    def run(self, jobs: Iterator[tuple[Job, JobWatch]]) -> None:
        first, watch = next(jobs)
        models = [Path(name) for name in first.asked.models]

        def slides() -> Iterator[LineSlide]:
            yield from self._entered(first, watch)
            for mine, its in jobs:
                yield from self._entered(mine, its)

        try:
            for _ in run_line(slides(), models, self.runs.out_of(first), self.runs.options):
                pass
        except SITE as error:
            raise self.runs.fault_of(error) from None

    def _entered(self, mine: Job, watch: JobWatch) -> Iterator[LineSlide]:
        """Nothing where the slide is not at hand: then that is what came of the job."""
        held = ExitStack()
        try:
            yield self._slide(mine, watch, held)
        except NOT_AT_HAND as error:
            held.close()
            reason = error
            self.ended(mine, lambda: self.runs.without(mine, reason))

    def _slide(self, mine: Job, watch: JobWatch, held: ExitStack) -> LineSlide:
        slide = held.enter_context(self.runs.at_hand(mine))
        options = held.enter_context(self.runs.options_for(mine, slide))
        post = self.runs.post_of(mine)
        if slide.path in self._paths:
            raise NotReady("another job is at work on the slide")
        self._paths.add(slide.path)

        def ended(outcomes: Sequence[Outcome]) -> None:
            try:
                self.ended(mine, lambda: self._answer(mine, watch, outcomes, post))
            finally:
                self._paths.discard(slide.path)
                held.close()

        def elsewhere(reason: str) -> bool:
            if mine.failures + 1 >= MOST_FAILURES:
                return False
            watch.fault = reason
            return True

        return LineSlide(
            path=slide.path,
            post=post,
            watch=watch,
            cases=load_cases(options.cases),
            mpp=mine.asked.mpp,
            go_on=watch.go_on,
            write=watch.write,
            elsewhere=elsewhere,
            ended=ended,
        )

    def _answer(
        self, mine: Job, watch: JobWatch, outcomes: Sequence[Outcome], post: JobPost | SilentPost
    ) -> Answer:
        if watch.fault is not None:
            raise DeviceError(watch.fault)
        return self.runs.answer(mine, outcomes, post)
