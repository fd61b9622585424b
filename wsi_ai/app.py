"""Slides in, results out: the whole program behind one function.

>>> from wsi_ai.app import run_slides
>>> for outcome in run_slides([slide], model, out):        # doctest: +SKIP
...     print(outcome.slide, outcome.level, outcome.folder)
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wsi_ai.assembly import Assembly, RunOptions, assemble
from wsi_ai.contracts import Post, Watcher
from wsi_ai.errors import DeviceError, ModelError, OutputError
from wsi_ai.fleet.fleet import Fleet
from wsi_ai.inputs import Inputs, find_slides
from wsi_ai.job import SlideJob
from wsi_ai.line import through_stages
from wsi_ai.manifest import load_card, placeholder_card
from wsi_ai.outcomes import Failures, Outcome
from wsi_ai.registry import devices_asked
from wsi_ai.results import NoPost
from wsi_ai.runs import RunLog

__all__ = [
    "Inputs",
    "Outcome",
    "RunOptions",
    "Silent",
    "find_slides",
    "make_folder",
    "run_slides",
]


class Silent:
    """Watches nothing."""

    def started(self, slide: Path) -> None: ...
    def planned(self, tiles: int, done: int) -> None: ...
    def passed(self, done: int) -> None: ...

    def beside(self) -> "Silent":
        return self


def run_slides(
    slides: Sequence[Path],
    model: Path,
    out: Path,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
    post: Post | None = None,
) -> Iterator[Outcome]:
    """Run one model over slides; an outcome a slide, whatever happens to it, in order.

    Results are folders below ``out``; ``out/runs`` gets a record of the run, see ``runs``.  While a
    slide infers, the next one is opened and read ahead and the last one written, in threads;
    ``watch`` is called from the one that infers.

    With several devices, each has a process of its own that runs the calling program's main module
    again, so that needs its ``if __name__ == "__main__"``; the outcomes come as slides are done.

    Every flag, and an early one too, is put to ``post``; whether it is delivered is the post's
    business.

    Raises PolicyError, InputError or OutputError before any slide where policy, cases, the names of
    the devices or ``out`` are unusable.  Where the model or every device is, every slide gets its
    ``not_assessed`` flag first, then ModelError or DeviceError is raised.
    """
    options, post = options or RunOptions(), post or NoPost()
    devices = devices_asked(options.device)
    assembly = assemble(placeholder_card(model), out, options)
    make_folder(out)
    try:
        assembly = replace(assembly, card=load_card(model))
    except ModelError as error:
        yield from _none_assessed(assembly, slides, post, str(error))
        raise
    run = RunLog(out, assembly.card, devices)
    complete = False
    try:
        for outcome in _on(assembly, devices, slides, watch or Silent(), post):
            run.outcomes.append(outcome)
            yield outcome
        complete = True
    finally:
        run.write(complete=complete)


def _on(
    assembly: Assembly, devices: list[str], slides: Sequence[Path], watch: Watcher, post: Post
) -> Iterator[Outcome]:
    epoch = time.perf_counter()
    if len(devices) > 1:
        yield from Fleet(assembly, devices, watch, post, epoch).outcomes(slides)
        return
    try:
        work = replace(assembly.on(devices[0]).work(watch, post), epoch=epoch)
    except (ModelError, DeviceError) as error:
        yield from _none_assessed(assembly, slides, post, str(error))
        raise
    stages = work.prepare, work.infer, work.publish
    for job in through_stages((SlideJob(slide) for slide in slides), stages, work.stop):
        if job.outcome is not None:
            yield job.outcome


def _none_assessed(
    assembly: Assembly, slides: Sequence[Path], post: Post, reason: str
) -> Iterator[Outcome]:
    failures = Failures(assembly.card, assembly.policy, assembly.out, post)
    for slide in slides:
        yield failures.record(slide, reason, assembly.cases.identity_of(slide))


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
