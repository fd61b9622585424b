"""``wsi-ai trial`` at one site, and who holds its keys."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_ai.app import RunOptions, find_slides
from wsi_ai.cli.found import say_found
from wsi_ai.cli.output import Exit, exit_on_error, say, say_content, terminated_as_interrupted
from wsi_ai.core.wording import counted
from wsi_ai.delivery.audit import Audit
from wsi_ai.errors import OutputError
from wsi_ai.run.kept_answer import Kept
from wsi_ai.run.process import prepare_process
from wsi_ai.slides.quiet import at_rest
from wsi_ai.trial.analysis.analyse import analyse as analyse_site
from wsi_ai.trial.analysis.results import headline
from wsi_ai.trial.documents import Kind, verified
from wsi_ai.trial.draft import read_unseal_key
from wsi_ai.trial.events import add_event as note_event
from wsi_ai.trial.locking import Asked, Keys, lock, make_unseal_key, release
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sealed_run import run_trial
from wsi_ai.trial.site_folder import content_of, join_trial, now, open_folder


@exit_on_error
def join(signed: Path, trusted_keys: list[Path], site: str, key: Path, out: Path) -> int:
    folder = join_trial(signed, trusted_keys, site, key, out)
    say(f"joined as {site}; protocol sha256 {folder.protocol.sha256}")
    return Exit.OK


@dataclass(frozen=True, slots=True)
class SilentRun:
    """What is asked beside the slides."""

    model: Path | None
    quiet_s: float
    options: RunOptions


@exit_on_error
def refuse_to_send() -> int:
    raise OutputError("a silent trial sends no flag: leave --send away")


@exit_on_error
def run(slides: Sequence[Path], place: Path, asked: SilentRun) -> int:
    """What is said of a slide is that it is sealed, never how it was judged."""
    prepare_process()
    folder = open_folder(place)
    found = find_slides(slides, place)
    say_found(found, slides)
    named = [slide for slide in found.slides if slide not in found.in_folders]
    settled, growing = at_rest(sorted(found.in_folders), asked.quiet_s)
    options = replace(asked.options, mpp_of=found.mpp, growing=tuple(growing))
    with terminated_as_interrupted():
        outcomes = list(run_trial([*named, *settled], folder, asked.model, options))
    left = [outcome for outcome in outcomes if not outcome.kept]
    for outcome in left:
        say(f"{outcome.slide}: not sealed: {outcome.reason}", sys.stderr)
    say(_summary(outcomes))
    return Exit.SOME if left else Exit.OK


def _summary(outcomes: Sequence[Kept]) -> str:
    kept = [outcome for outcome in outcomes if outcome.kept]
    new = sum(outcome.fresh for outcome in kept)
    left = len(outcomes) - len(kept)
    beside = f", {left} not sealed" if left else ""
    return (
        f"{counted(len(outcomes), 'slide')}: {new} sealed, {len(kept) - new} already in{beside}."
        " Assessed and not assessed are said after unsealing."
    )


@exit_on_error
def lock_reference(path: Path, place: Path, reason: str | None, *, incomplete: bool) -> int:
    say_content(lock(open_folder(place), path, Asked(incomplete, reason)))
    return Exit.OK


@exit_on_error
def new_key(out: Path) -> int:
    say(make_unseal_key(out))
    return Exit.OK


@dataclass(frozen=True, slots=True)
class RegionPlaces:
    """Where the region has its keys."""

    trusted: list[Path]
    sites: Path
    unseal: Path
    key: Path


@exit_on_error
def release_key(locked: Path, signed: Path, places: RegionPlaces) -> int:
    trusted = [content_of(path) for path in places.trusted]
    protocol = Protocol(verified(content_of(signed), Kind.PROTOCOL, trusted))
    keys = Keys(
        unseal=[
            read_unseal_key(path).private_bytes_raw()
            for path in sorted(places.unseal.glob("*.key"))
        ],
        sites=[content_of(path) for path in sorted(places.sites.glob("*.pub"))],
        region=content_of(places.key),
    )
    register = Audit(places.unseal / "released.jsonl", now)
    say_content(release(content_of(locked), protocol, keys, register))
    return Exit.OK


@exit_on_error
def analyse(place: Path, unseal: Path, patients: Path | None) -> int:
    found = analyse_site(open_folder(place), content_of(unseal), patients)
    for line in headline(found):
        say(line)
    say(f"{place}/  results.json  sums.json  cases.csv")
    return Exit.SOME if found["notes"] else Exit.OK


@exit_on_error
def add_event(place: Path, what: str, on: str, *, harm: bool) -> int:
    note_event(open_folder(place).trial, what, on, harm=harm)
    return Exit.OK
