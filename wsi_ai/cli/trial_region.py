"""``wsi-ai trial`` where a group of sites puts its bundles together, and a site's bundle."""

import json
from dataclasses import dataclass
from pathlib import Path

from wsi_ai import schemas
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.wording import counted
from wsi_ai.delivery.audit import Audit
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, from_json
from wsi_ai.trial.bundle import Audience, with_all_levels
from wsi_ai.trial.disclosure.published import render
from wsi_ai.trial.disclosure.site import publish_sums, system
from wsi_ai.trial.documents import Kind, verified
from wsi_ai.trial.intake import Door, take_in
from wsi_ai.trial.lists import load_list
from wsi_ai.trial.locking import released_locks
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.region.draws import draw_accuracies
from wsi_ai.trial.region.folder import load, pooled_before, save, sites_of, write_private
from wsi_ai.trial.region.result import result_of
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.release import release
from wsi_ai.trial.report.items import is_item
from wsi_ai.trial.report.page import Extras, report
from wsi_ai.trial.report.words import interval
from wsi_ai.trial.site_folder import SiteFolder, content_of, now, open_folder
from wsi_ai.trial.sum_rounds import add_parts, make_part
from wsi_ai.trial.sums import SiteSums, of_document
from wsi_ai.trial.tutorial.course import Course, run_tutorial
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Gain, simulate_each


@exit_on_error
def preview_bundle(place: Path) -> int:
    """What an open bundle would show; nothing leaves, and the ledger has no line of it."""
    folder = open_folder(place)
    sums = with_all_levels(_sums(folder), folder.protocol)
    entries = publish_sums(sums, folder.protocol.small_numbers)
    for name, entry in entries.items():
        shown = entry.as_json()
        say(f"{name:44s} {shown if isinstance(shown, str) else json.dumps(shown)}")
    hidden = sum(entry.as_json() == "*" for entry in entries.values())
    say(f"{hidden} of {len(system(sums).keys)} counts are hidden; nothing has left")
    return Exit.OK


@exit_on_error
def bundle(place: Path, audience: str, out: Path) -> int:
    folder = open_folder(place)
    if out.exists():
        raise OutputError(f"{out.name} is there already: a bundle is a new file")
    sums = _sums(folder)
    key = content_of(folder.key)
    write_private(out, release(folder.trial, sums, folder.protocol, Audience(audience), key))
    say(f"{out}: {audience}, look {sums.origin.look}, {folder.trial.site}")
    return Exit.OK


def _sums(folder: SiteFolder) -> SiteSums:
    if not (folder.path / "sums.json").exists():
        raise TrialError("there are no sums yet: wsi-ai trial analyse makes them")
    try:
        document = from_json(content_of(folder.path / "sums.json", TABLE_BYTES))
    except Unreadable as error:
        raise TrialError(f"sums.json {error}") from None
    return of_document(document)


@dataclass(frozen=True, slots=True)
class PoolPlaces:
    """What bundles are held against."""

    protocol: Path
    trusted: list[Path]
    sites: Path
    unseal_key: Path | None
    released: Path | None = None


@exit_on_error
def pool(bundles: list[Path], places: PoolPlaces, out: Path) -> int:
    """Of the protocol's last look, when flags are opened."""
    trusted = [content_of(path) for path in places.trusted]
    protocol = Protocol(verified(content_of(places.protocol), Kind.PROTOCOL, trusted))
    look = max(1, len(protocol.document.get("look", [])))
    released = None
    if places.released is not None:
        released = released_locks(Audit(places.released, now), protocol.sha256)
    keys = _public_keys(places.sites)
    door = Door(protocol, keys, look, pooled_before(out), released)
    files = {path.name: content_of(path, TABLE_BYTES) for path in bundles}
    if len(files) < len(bundles):
        raise TrialError("two bundles have the same file name")
    sites = sites_of(take_in(files, door), door, _secret(places.unseal_key))
    if not sites.files:
        _say_left_out(sites)
        raise TrialError("no bundle is left to pool")
    save(sites, out)
    _say_pooled(sites, len(files))
    say(f"{out}/  pooled.json")
    return Exit.SOME if sites.left_out else Exit.OK


def _public_keys(place: Path) -> list[bytes]:
    found = [content_of(path) for path in sorted(place.glob("*.pub"))]
    if not found:
        raise TrialError(f"there is no public key (*.pub) in {place.name}")
    return found


def _secret(path: Path | None) -> bytes | None:
    """Raises TrialError."""
    if path is None:
        return None
    try:
        key = bytes.fromhex(content_of(path).decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise TrialError(f"{path.name} is no key that trial key new made")
    return key


def _say_pooled(sites: Sites, came: int) -> None:
    say(f"{counted(came, 'bundle')}: {len(sites.files)} pooled, {len(sites.left_out)} left out")
    _say_left_out(sites)
    if sites.absent:
        say(f"no bundle of {', '.join(sites.absent)}")
    result = result_of(sites)
    for rate in (result.sensitivity, result.specificity, result.not_assessed):
        say(f"{rate.name}: {interval(rate.estimate)}")
        if rate.bounds is not None:
            low, high = rate.bounds
            say(f"  with {counted(len(sites.shown), 'rounded site')}: {low:.1%} to {high:.1%}")


def _say_left_out(sites: Sites) -> None:
    for left in sites.left_out:
        say(f"left out: {left.name}: {left.why}")


@exit_on_error
def write_report(pooled: Path, out: Path, reading_list: Path | None, typed: Path | None) -> int:
    sites = load(pooled)
    result = result_of(sites)
    gains = None if reading_list is None else _gains(sites, reading_list)
    extras = Extras(gains, None if typed is None else _typed(typed))
    write_private(out, report(sites, result, extras).encode())
    say(f"{out}: {counted(len(sites.files), 'site')}; for a PDF, print it from a browser")
    return Exit.SOME if sites.left_out or sites.unblinded else Exit.OK


def _gains(sites: Sites, reading_list: Path) -> dict[Group, Gain]:
    scenario = load_list(reading_list)
    accuracies = draw_accuracies(result_of(sites), scenario.runs, scenario.seed)
    return simulate_each(scenario, accuracies)


def _typed(path: Path) -> dict[str, dict[str, str]]:
    """What the lead wrote.  Raises TrialError where an item is none of the guideline's."""
    found = schemas.load_toml(path, "trial-typed-1", "file of items", TrialError)
    for guideline, answers in found.items():
        for number in answers:
            if not is_item(guideline, number):
                raise TrialError(f"{path.name}: {guideline} has no item {number[:20]}")
    return found


@exit_on_error
def sum_part(place: Path, key: Path, without: list[str], out: Path) -> int:
    folder = open_folder(place)
    secret = _secret(key)
    if out.exists():
        raise OutputError(f"{out.name} is there already: a part is a new file")
    keys = (secret or b"", content_of(folder.key))
    content = make_part(folder.trial, _sums(folder), folder.protocol, without, keys)
    write_private(out, content)
    say(f"{out}: noise to everybody, but for the sum of all")
    return Exit.OK


@exit_on_error
def sum_add(parts: list[Path], places: PoolPlaces, without: list[str], out: Path) -> int:
    trusted = [content_of(path) for path in places.trusted]
    protocol = Protocol(verified(content_of(places.protocol), Kind.PROTOCOL, trusted))
    contents = [content_of(path, TABLE_BYTES) for path in parts]
    entries = add_parts(contents, protocol, _public_keys(places.sites), without)
    write_private(out, (render(entries) + "\n").encode())
    for name in ("all/total/total", "sensitivity", "false_positive_rate"):
        say(f"{name}: {json.dumps(entries[name].as_json())}")
    say(f"{out}: of {counted(len(parts), 'site')}; small numbers are hidden")
    return Exit.OK


@exit_on_error
def tutorial(folder: Path, model: Path) -> int:
    place = run_tutorial(Course(folder, model), say)
    say(f"{place}: open it in a browser; docs/trial.md walks through it")
    return Exit.OK
