"""Slides that come one after another from whoever has them, through one assembly line.

Each has a post, a case and an end of its own; what all share is the models and the device.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator, Post, Watcher
from wsi_ai.core.flags import Standing
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import InputError
from wsi_ai.heatmaps import Canvas
from wsi_ai.inference.registry import devices_asked
from wsi_ai.models.fastest.open_fastest import open_fastest
from wsi_ai.models.site import load_site
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.assembly import OpenRuntime
from wsi_ai.run.flag_answer import FlagAnswer
from wsi_ai.run.flags_for import flags_for
from wsi_ai.run.job import SlideJob, Stoppable
from wsi_ai.run.on_devices import recorded
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.run.run_record import RunLog
from wsi_ai.run.run_slides import Asked, assembly_of, cards_of, listed, policy_of, published
from wsi_ai.run.several_models import SlideTask, SlideTasks
from wsi_ai.run.stages import through_stages
from wsi_ai.slides.identity import Cases
from wsi_ai.triage.policy import Policy


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LineSlide:
    """One slide, and all that is its own.  What is called is called from the line's threads."""

    path: Path
    """No other slide on the line has it."""
    post: Post
    watch: Watcher
    cases: Cases = field(default_factory=Cases)
    mpp: float | None = None
    """Micrometres per pixel, before that of the options."""
    go_on: Callable[[], None]
    """Raises Stopped where the slide is to be left as it is: what was inferred is kept."""
    write: Callable[[], None]
    """Raises Stopped where its results are not to be written: another is at work on it."""
    elsewhere: Callable[[str], bool]
    """The device failed, for this reason.  Whether the slide is taken to another one: then it ends
    here without an outcome."""
    ended: Callable[[Sequence[Outcome]], None]
    """It is through, with an outcome for each model; with fewer where it was stopped.  What it
    raises ends the line."""


def run_line(
    slides: Iterable[LineSlide],
    models: Sequence[Path],
    out: Path,
    options: RunOptions,
    opened: OpenRuntime = open_fastest,
) -> Iterator[Outcome]:
    """Ask for the next slide whenever there is room for it on the line, until there are no more.

    While one infers, the next is opened and the last one written.  Raises as ``run_slides``, before
    it asks for a slide.
    """
    (device,) = _one(devices_asked(options.device))
    policy = policy_of(options)
    cards = cards_of(models, load_site(options.trusted_keys), policy, options)
    on_it = _OnTheLine()
    options = replace(options, mpp_of=on_it.mpp_of)
    asked = Asked(options, policy, on_it, _AnyPost())
    assembly = assembly_of(cards, opened, out, Cases(), asked)
    assembly = replace(assembly, answer_for=on_it.answers(policy, out, options)).on(device)
    work, refused = assembly.work(on_it, _AnyPost(), on_it.elsewhere)
    for _, error in refused:
        raise error

    def written(task: SlideTask[Outcome]) -> SlideTask[Outcome]:
        work.publish(task)
        on_it.end(task)
        return task

    stages = work.prepare, work.infer, written
    with published(out, options.published), listed(out, options.pages):
        tasks = on_it.tasks(slides, work)
        line = through_stages(tasks, stages, work.stop, SlideTask.is_over, SlideTask.passes)
        outcomes = (outcome for task in line for outcome in task.outcomes)
        yield from recorded(RunLog(out, cards, [device]), outcomes)


def _one(devices: Sequence[str]) -> Sequence[str]:
    if len(devices) != 1:
        raise InputError("a line has one device; for several, start a worker for each")
    return devices


@dataclass(slots=True)
class _OnTheLine:
    """The slides that are on it now; a watcher of them."""

    slides: dict[Path, LineSlide] = field(default_factory=dict)
    mpp_of: dict[Path, float] = field(default_factory=dict)
    _watch: Watcher | None = None

    def tasks(
        self, slides: Iterable[LineSlide], work: SlideTasks[Outcome]
    ) -> Iterator[SlideTask[Outcome]]:
        for slide in slides:
            self.slides[slide.path] = slide
            if slide.mpp is not None:
                self.mpp_of[slide.path] = slide.mpp
            yield work.begin(slide.path)

    def end(self, task: SlideTask[Outcome]) -> None:
        self.mpp_of.pop(task.path, None)
        self.slides.pop(task.path).ended(task.outcomes)

    def elsewhere(self, path: Path, reason: str) -> bool:
        return self.slides[path].elsewhere(reason)

    def answers(
        self, policy: Policy | None, out: Path, options: RunOptions
    ) -> Callable[[ModelCard, Post], "_LineAnswer"]:
        flags = flags_for(policy, Cases(), out, options)

        def of(card: ModelCard, post: Post) -> _LineAnswer:
            answer = flags(card, post)
            if not isinstance(answer, FlagAnswer):
                raise TypeError("a line gives flags")
            return _LineAnswer(answer, self.slides)

        return of

    def started(self, slide: Path) -> None:
        self._watch = self.slides[slide].watch
        self._watch.started(slide)

    def planned(self, tiles: int, done: int) -> None:
        if self._watch is not None:
            self._watch.planned(tiles, done)

    def passed(self, done: int) -> None:
        if self._watch is not None:
            self._watch.passed(done)

    def beside(self) -> Watcher:
        return self


@dataclass(frozen=True, slots=True)
class _LineAnswer:
    """Flags, each to its slide's own post.  See ``answer.Answer``."""

    any: FlagAnswer
    slides: Mapping[Path, LineSlide]

    def _of(self, job: SlideJob[Outcome]) -> FlagAnswer:
        slide = self.slides[job.path]
        return replace(self.any, post=slide.post, cases=slide.cases)

    def begin(self, path: Path) -> SlideJob[Outcome]:
        return replace(self.any, cases=self.slides[path].cases).begin(path)

    def open_aggregator(self) -> Aggregator | None:
        return self.any.open_aggregator()

    def admit(self, job: SlideJob[Outcome]) -> None:
        self.slides[job.path].go_on()
        self._of(job).admit(job)

    def folder(self, slide: SlideInfo) -> Path:
        return self.any.folder(slide)

    def asked(self, job: SlideJob[Outcome], pipeline: Pipeline) -> dict[str, Any]:
        return self._of(job).asked(job, pipeline)

    def may_be_known(self, name: Path) -> bool:
        return self.any.may_be_known(name)

    def known(self, job: SlideJob[Outcome]) -> Outcome | None:
        return self._of(job).known(job)

    def canvas(
        self, job: SlideJob[Outcome], plan: TilePlan, pipeline: Pipeline, first_batch: int
    ) -> Canvas:
        return self._of(job).canvas(job, plan, pipeline, first_batch)

    def inferring(
        self, job: SlideJob[Outcome], pipeline: Pipeline, watch: Watcher
    ) -> Generator[None, None, Assessment]:
        go_on = self.slides[job.path].go_on
        go_on()
        return (yield from self._of(job).inferring(job, pipeline, Stoppable(watch, go_on)))

    def publish(self, job: SlideJob[Outcome]) -> Outcome:
        self.slides[job.path].write()
        return self._of(job).publish(job)

    def failed(
        self, job: SlideJob[Outcome], reason: str, error: Exception | None = None
    ) -> Outcome:
        return self._of(job).failed(job, reason, error)

    def unwritten(self, job: SlideJob[Outcome], reason: str, *, judged: bool = True) -> Outcome:
        return self._of(job).unwritten(job, reason, judged=judged)


class _AnyPost:
    """Stands where every slide has its own post."""

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        raise ValueError("a flag came to no slide's post")

    put_early = put

    def standing(self, flag_id: str) -> Standing | None:
        raise ValueError("a question came to no slide's post")
