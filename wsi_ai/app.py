"""Slides in, results out: the whole program behind one function.

>>> from wsi_ai.app import run_slides
>>> for outcome in run_slides([slide], model, out):        # doctest: +SKIP
...     print(outcome.slide, outcome.level, outcome.folder)
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wsi_ai.contracts import FedRuntime, Post, Runtime, TileSource, Watcher
from wsi_ai.errors import DeviceError, ModelError, OutputError
from wsi_ai.geometry import Spacing
from wsi_ai.identity import load_cases
from wsi_ai.line import through_stages
from wsi_ai.manifest import load_card, placeholder_card
from wsi_ai.outcomes import Failures, Outcome
from wsi_ai.parity import hold_to_golden
from wsi_ai.pipeline import Pipeline
from wsi_ai.reading import HostTiles
from wsi_ai.registry import open_runtime, open_slide
from wsi_ai.results import NoPost
from wsi_ai.settings import load_policy
from wsi_ai.values import Precision, RuntimeRequest
from wsi_ai.work import SlideJob, SlideWork

__all__ = ["Outcome", "RunOptions", "Silent", "make_folder", "run_slides"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What may be asked beside slides and model."""

    mpp: float | None = None
    """Micrometres per pixel, in place of what the files say."""
    device: str = "auto"
    policy: Path | None = None
    force: bool = False
    """Run anew even where the same question was answered before."""
    reader: str | None = None
    """``None``: by the slide's content."""
    precision: Precision = Precision.FP32
    cases: Path | None = None
    """Whose slides they are: .csv, .json or .toml."""

    def spacing(self) -> Spacing | None:
        return None if self.mpp is None else Spacing(self.mpp, self.mpp)

    def request(self) -> RuntimeRequest:
        return RuntimeRequest(self.device, self.precision)


class Silent:
    """Watches nothing."""

    def started(self, slide: Path) -> None: ...
    def planned(self, tiles: int, done: int) -> None: ...
    def passed(self, done: int) -> None: ...


def run_slides(
    slides: Sequence[Path],
    model: Path,
    out: Path,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
    post: Post | None = None,
) -> Iterator[Outcome]:
    """Run one model over slides, in order; an outcome a slide, whatever happens to it.

    Results are folders below ``out``.  While a slide infers, the next one is opened and read ahead
    and the last one written, in threads; ``watch`` is called from the one that infers.

    Every flag, and an early one too, is put to ``post``; whether it is delivered is the post's
    business.

    Raises PolicyError or OutputError before any slide where policy, cases or ``out`` are unusable.
    Where the model or the device is, every slide gets its ``not_assessed`` flag first, then
    ModelError or DeviceError is raised.
    """
    options, post = options or RunOptions(), post or NoPost()
    policy, cases = load_policy(options.policy), load_cases(options.cases)
    make_folder(out)
    card = placeholder_card(model)
    try:
        card = load_card(model, options.precision)
        runtime = open_runtime(card, options.request())
        hold_to_golden(runtime)
    except (ModelError, DeviceError) as error:
        for slide in slides:
            whose = cases.identity_of(slide)
            yield Failures(card, policy, out, post).record(slide, str(error), whose)
        raise
    pipeline = Pipeline(source_for(runtime), runtime, policy.triage, policy.quality)
    opened = partial(open_slide, spacing=options.spacing(), reader=options.reader)
    work = SlideWork(
        pipeline=pipeline,
        policy=policy,
        out=out,
        open_slide=opened,
        force=options.force,
        watch=watch or Silent(),
        cases=cases,
        post=post,
    )
    stages = work.prepare, work.infer, work.publish
    for job in through_stages((SlideJob(slide) for slide in slides), stages, work.stop):
        if job.outcome is not None:
            yield job.outcome


def source_for(runtime: Runtime) -> TileSource:
    """The runtime's own, where it has one; else into plain memory, with a thread a processor."""
    threads = len(os.sched_getaffinity(0))
    if isinstance(runtime, FedRuntime):
        return runtime.source(threads)
    return HostTiles(runtime.batch_size, threads)


def make_folder(out: Path) -> None:
    """Where results go.  Raises OutputError where nothing can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write to {out}: {error.strerror}; choose another --out"
        ) from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {out}: no permission; choose another --out")
