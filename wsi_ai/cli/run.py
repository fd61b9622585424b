"""``wsi-ai run``."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_ai.cli.commands.options import RunArguments
from wsi_ai.cli.found import say_found
from wsi_ai.cli.output import (
    Exit,
    adoption_lines,
    exit_on_error,
    extra,
    gravest,
    log_to,
    run_logs,
    say,
    terminated_as_interrupted,
)
from wsi_ai.cli.progress import progress_for
from wsi_ai.core.cards import Precision
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.wording import counted, verb
from wsi_ai.errors import DeviceError, ModelError, OutputError, PolicyError, WsiAiError
from wsi_ai.results.folder import make_folder
from wsi_ai.results.pages.wanted import Pages
from wsi_ai.results.published import OnDisk, Published, ResultsPlace, results_place
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.process import prepare_process
from wsi_ai.run.run_record import added_up, by_device, write_not_started
from wsi_ai.run.run_slides import run_slides
from wsi_ai.slides.inputs import Inputs, find_slides
from wsi_ai.slides.places import ReaderIo, as_written
from wsi_ai.slides.quiet import at_rest

if TYPE_CHECKING:
    from wsi_ai.delivery.posting import Posting

_DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Sending:
    """Where flags go while the run goes on."""

    places: Sequence[str]
    database: str


@exit_on_error
def run(slides: Sequence[Path], models: Sequence[Path], out: Path, arguments: RunArguments) -> int:
    """Run, print, and return the exit status."""
    prepare_process()
    log_to(run_logs(arguments))
    place = results_place(out)
    if arguments.send and not arguments.outbox and not isinstance(place.published, OnDisk):
        raise OutputError("flags wait in a database, and none lies in a bucket: give --outbox")
    out = place.folder
    sending = Sending(arguments.send or [], arguments.outbox or str(out / "outbox.db"))
    left = _Left()
    with terminated_as_interrupted(), _posting(sending, out, left) as post:
        begun = _Begun(slides, models, place, post, left)
        outcomes = begun.outcomes(arguments)
        left.outcomes = outcomes
    say(_summary(outcomes, len(models)), sys.stdout)
    if limit := _limit(outcomes):
        say(limit, sys.stdout)
    statuses = [*_statuses(outcomes), *left.statuses()]
    for status in sorted(set(statuses)):
        say(f"wsi-ai: {_WORDS[status]}", sys.stderr)
    return gravest(statuses)


_WORDS = {
    Exit.SOME: "some slides were not assessed",
    Exit.WAITING: "a flag waits to be sent, or was held back or refused",
    Exit.NOT_JUDGED: "some slides were not judged here",
}


def _statuses(outcomes: Sequence[Outcome]) -> Iterator[Exit]:
    for outcome in outcomes:
        if not outcome.judged:
            yield Exit.NOT_JUDGED
        elif outcome.level is Level.NOT_ASSESSED:
            yield Exit.SOME
        if outcome.held_back:
            yield Exit.WAITING


@dataclass(slots=True)
class _Left:
    """What a run leaves in the outbox."""

    waiting: bool = False
    broken: bool = False
    """It ended before its last slide."""
    outcomes: Sequence[Outcome] = ()

    def statuses(self) -> list[Exit]:
        found = {Exit.WAITING: self.waiting, Exit.SOME: self.broken}
        return [status for status, is_so in found.items() if is_so]


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a command names, and where flags go."""

    slides: Sequence[Path]
    models: Sequence[Path]
    place: ResultsPlace
    post: "Posting | None"
    left: "_Left"

    def outcomes(self, arguments: RunArguments) -> list[Outcome]:
        """Prints each as it comes.  A run that cannot begin says so to those who wait for it."""
        outcomes, waiting = list[Outcome](), len(self.slides)
        out, published = self.place.folder, self.place.published
        try:
            found = find_slides(self.slides, out)
            waiting = len(found.slides)
            say_found(found, self.slides)
            settled, growing = _settled(found, arguments.quiet_s)
            chosen = _options(arguments)
            growth = tuple(growing)
            options = replace(chosen, mpp_of=found.mpp, growing=growth, published=published)
            with progress_for(sys.stderr, "tiles", len(settled)) as progress:
                for outcome in run_slides(settled, self.models, out, options, progress, self.post):
                    for line in _outcome_lines(outcome, published, several=len(self.models) > 1):
                        say(line)
                    outcomes.append(outcome)
        except WsiAiError as error:
            if not outcomes:
                self._not_started(error, waiting)
                raise
            say(f"wsi-ai: {error}", sys.stderr)
            self.left.broken = True
        if self.post is not None:
            self.post.begun()
        return outcomes

    def _not_started(self, error: WsiAiError, slides: int) -> None:
        kind = _kind(error)
        out = self.place.folder
        from wsi_ai.results.pages.index import INDEX, renew_index

        write_not_started(out, kind, str(error), slides)
        if (out / INDEX).is_file():
            renew_index(out)
        if self.post is not None:
            self.post.not_started(slides, kind)


_KINDS = (
    (ModelError, "model"),
    (DeviceError, "device"),
    (PolicyError, "policy"),
    (OutputError, "output"),
)


def _kind(error: WsiAiError) -> str:
    """Whose fault it is that a run did not start."""
    return next((kind for cls, kind in _KINDS if isinstance(error, cls)), "command")


def _settled(found: Inputs, quiet_s: float) -> tuple[list[Path], Sequence[Path]]:
    """Those to be judged, and those that are still being written."""
    _, growing = at_rest([s for s in found.slides if s in found.in_folders], quiet_s)
    unsettled = set(growing)
    return [slide for slide in found.slides if slide not in unsettled], growing


def _options(arguments: RunArguments) -> RunOptions:
    return RunOptions(
        mpp=arguments.mpp,
        device=arguments.device,
        cluster=arguments.cluster,
        policy=arguments.policy,
        force=arguments.force,
        amend=arguments.amend,
        rescan=arguments.rescan,
        override_mpp=arguments.override_mpp,
        image=arguments.image,
        reader=arguments.reader,
        reader_io=ReaderIo(arguments.reader_io),
        precision=Precision(arguments.precision),
        cases=arguments.cases,
        trust_pickle=arguments.trust_pickle,
        trusted_keys=arguments.trusted_keys,
        formats=_formats(arguments),
        extent=arguments.extent(),
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        pages=_pages(arguments),
    )


def _formats(arguments: RunArguments) -> tuple[str, ...]:
    saved = ["tissue"] if arguments.save_tissue else []
    return tuple(dict.fromkeys([*(arguments.formats or ()), *saved]))


def _pages(arguments: RunArguments) -> Pages:
    """Raises OutputError where both are asked for."""
    if arguments.pdf and arguments.no_report:
        raise OutputError("--pdf prints the report: leave --no-report away")
    if arguments.pdf:
        return Pages.REPORT_AND_PDF
    return Pages.NONE if arguments.no_report else Pages.REPORT


@contextmanager
def _posting(sending: Sending, out: Path, noted: _Left) -> "Iterator[Posting | None]":
    """What is put is sent while the run goes on; at its end, what is under way may arrive."""
    if not sending.places:
        yield None
        return
    make_folder(out)
    with extra("service"):
        from wsi_ai.cli.delivered import delivered
        from wsi_ai.delivery.posting import open_posting
    with open_posting(sending.places, sending.database) as posting:
        yield posting
        left = posting.drain(_DRAIN_S)
        elsewhere = posting.waiting_elsewhere()
        ids = [outcome.flag_id for outcome in noted.outcomes if outcome.flag_id]
        done = delivered(noted.outcomes, posting.steps(ids))
    noted.waiting = bool(left or elsewhere) or not done.is_whole
    for line in done.report():
        say(f"wsi-ai: {line}", sys.stderr)
    if left:
        waits = f"{counted(left, 'delivery')} {verb(left, 'waits', 'wait')} in the outbox"
        say(f"wsi-ai: {waits}; wsi-ai relay makes {verb(left, 'it', 'them')}", sys.stderr)
    for line in adoption_lines(elsewhere, sending.database, sending.places):
        say(f"wsi-ai: {line}", sys.stderr)


def _limit(outcomes: Sequence[Outcome]) -> str:
    """Which stage was the limit; nothing where nothing was inferred."""
    if not any(outcome.timing and outcome.timing.tiles for outcome in outcomes):
        return ""
    devices = by_device(outcomes)
    all_in_all = added_up(devices.values())
    wall_s = max(one.wall_s for one in devices.values())
    return (
        f"{wall_s:.1f} s after start-up; the limit was {all_in_all.limit},"
        f" busy {all_in_all.share:.0%} of that time"
    )


def _outcome_lines(outcome: Outcome, published: Published, *, several: bool) -> list[str]:
    word = outcome.level.value.replace("_", " ").upper()
    model = f" [{outcome.model}]" if several else ""
    lines = [f"{as_written(outcome.slide)}{model}: {word}: {outcome.reason}"]
    if outcome.held_back:
        lines.append(f"  its flag is held back: {outcome.held_back}")
    if outcome.folder is None:
        lines.append("  nothing was written")
    elif outcome.fresh:
        names = sorted(path.name for path in outcome.folder.iterdir())
        if outcome.judged_again:
            lines.append("  judged again by the scores of an earlier run; nothing was inferred")
        lines.append(f"  {published.shown(outcome.folder)}/  {'  '.join(names)}")
    else:
        shown = published.shown(outcome.folder)
        lines.append(f"  {shown}/  done before, nothing to do (--force runs it anew)")
    return lines


def _summary(outcomes: Sequence[Outcome], models: int) -> str:
    judged = [outcome.level for outcome in outcomes if outcome.judged]
    levels = ", ".join(f"{judged.count(level)} {level.value.replace('_', ' ')}" for level in Level)
    slides, apart = len(outcomes) // models, len(outcomes) - len(judged)
    each = f" by {models} models" if models > 1 else ""
    beside = f", {apart} not judged here" if apart else ""
    return f"{counted(slides, 'slide')}{each}: {levels}{beside}. {STATEMENT}"
