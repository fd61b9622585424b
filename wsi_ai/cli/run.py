"""``wsi-ai run``."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_ai.app import Inputs, Outcome, RunOptions, find_slides, make_folder, run_slides
from wsi_ai.cli.commands.options import RunArguments
from wsi_ai.cli.output import adoption_lines, log_from, say, service
from wsi_ai.cli.progress import progress_for
from wsi_ai.core.cards import Precision
from wsi_ai.core.contracts import Post
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.memory import return_large_blocks
from wsi_ai.errors import WsiAiError
from wsi_ai.run.run_record import added_up, by_device

_OK, _SOME_NOT_ASSESSED, _USAGE, _INTERRUPTED = 0, 1, 2, 130


_DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Sending:
    """Where flags go while the run goes on."""

    places: Sequence[str]
    database: str


def run(
    slides: Sequence[Path],
    models: Sequence[Path],
    out: Path,
    said: RunArguments,
) -> int:
    """Run, tell, and return the exit status."""
    return_large_blocks()
    log_from(logging.DEBUG if said.verbose else logging.ERROR)
    counts, outcomes = dict.fromkeys(Level, 0), list[Outcome]()
    try:
        found = find_slides(slides, out)
        _tell_found(found, slides)
        options = replace(_options(said), mpp_of=found.mpp)
        sending = Sending(said.send or [], said.outbox or str(out / "outbox.db"))
        with (
            _posting(sending, out) as post,
            progress_for(sys.stderr, "tiles", len(found.slides)) as progress,
        ):
            for outcome in run_slides(found.slides, models, out, options, progress, post):
                say(_format_outcome(outcome, several=len(models) > 1), sys.stdout)
                counts[outcome.level] += 1
                outcomes.append(outcome)
    except WsiAiError as error:
        say(f"wsi-ai: {error}", sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        say("wsi-ai: stopped; the same command goes on from here", sys.stderr)
        return _INTERRUPTED
    say(_summary(counts, len(models)), sys.stdout)
    if told := _limit(outcomes):
        say(told, sys.stdout)
    return _SOME_NOT_ASSESSED if counts[Level.NOT_ASSESSED] else _OK


def _options(said: RunArguments) -> RunOptions:
    return RunOptions(
        mpp=said.mpp,
        device=said.device,
        policy=said.policy,
        force=said.force,
        reader=said.reader,
        precision=Precision(said.precision),
        cases=said.cases,
        trust_pickle=said.trust_pickle,
        trusted_keys=said.trusted_keys,
        formats=tuple(said.formats or ()),
    )


@contextmanager
def _posting(sending: Sending, out: Path) -> Iterator[Post | None]:
    """What is put is sent while the run goes on; at its end, what is under way may arrive."""
    if not sending.places:
        yield None
        return
    make_folder(out)
    posting_module = service("wsi_ai.delivery.posting")
    started = time.time()
    with posting_module.open_posting(sending.places, sending.database) as posting:
        yield posting
        left, unsendable = posting.drain(_DRAIN_S), posting.unsendable(started)
        elsewhere = posting.waiting_elsewhere()
    if left:
        say(f"wsi-ai: {left} deliveries wait; wsi-ai relay makes them", sys.stderr)
    if unsendable:
        told = "whose slide it is is not known (--cases), or no sink takes the trust's flags"
        say(f"wsi-ai: {unsendable} flags were not sent: {told}", sys.stderr)
    for line in adoption_lines(elsewhere, sending.database, sending.places):
        say(f"wsi-ai: {line}", sys.stderr)


def _tell_found(found: Inputs, named: Sequence[Path]) -> None:
    if found.passed_over:
        count, kinds = len(found.passed_over), found.passed_over_by_kind()
        say(f"wsi-ai: passed over {count} that are no slides: {kinds}", sys.stderr)
    if len(found.slides) != len(named):
        say(f"wsi-ai: {len(found.slides)} slides to run", sys.stderr)


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


def _format_outcome(outcome: Outcome, *, several: bool) -> str:
    word = outcome.level.value.replace("_", " ").upper()
    model = f" [{outcome.model}]" if several else ""
    lines = [f"{outcome.slide}{model}: {word}: {outcome.reason}"]
    if outcome.folder is None:
        lines.append("  nothing was written")
    elif outcome.fresh:
        names = sorted(path.name for path in outcome.folder.iterdir())
        lines.append(f"  {outcome.folder}/  {'  '.join(names)}")
    else:
        lines.append(f"  {outcome.folder}/  done before, nothing to do (--force runs it anew)")
    return "\n".join(lines)


def _summary(counts: dict[Level, int], models: int) -> str:
    told = ", ".join(f"{n} {level.value.replace('_', ' ')}" for level, n in counts.items())
    slides = sum(counts.values()) // models
    each = f" by {models} models" if models > 1 else ""
    return f"{slides} slide{'s' * (slides != 1)}{each}: {told}. {STATEMENT}"
