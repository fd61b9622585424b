"""The whole trial, from the protocol to the pooled report, with everybody's part played here."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from wsi_ai.app import RunOptions
from wsi_ai.delivery.audit import Audit
from wsi_ai.demo import SampleSpec, write_sample_slide
from wsi_ai.models.manifest import load_card
from wsi_ai.trial.analysis.analyse import analyse
from wsi_ai.trial.bundle import Audience
from wsi_ai.trial.documents import Kind, sign
from wsi_ai.trial.draft import index_test_of
from wsi_ai.trial.intake import Door, take_in
from wsi_ai.trial.lists import load_list
from wsi_ai.trial.locking import Asked, lock, release
from wsi_ai.trial.locking import Keys as Released
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.region.draws import draw_accuracies
from wsi_ai.trial.region.folder import save, sites_of, write_private
from wsi_ai.trial.region.result import result_of
from wsi_ai.trial.release import release as release_bundle
from wsi_ai.trial.report.page import Extras, report
from wsi_ai.trial.sealed_run import INDEX_TEST, run_trial
from wsi_ai.trial.sealing import Question, seal
from wsi_ai.trial.site_folder import SiteFolder, join_trial
from wsi_ai.trial.sums import of_document
from wsi_ai.trial.tutorial.plan import LIST, Keys, make_keys, make_protocol, new_folder, write_keys
from wsi_ai.trial.tutorial.population import (
    MadeCase,
    MadeSite,
    made_cases,
    made_sites,
    patients_table,
    record,
    reference_table,
)
from wsi_ai.trial.waiting.scenario import simulate_each

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Course:
    """How large the tutorial is."""

    folder: Path
    model: Path
    sites: int = 17
    cases: int = 110
    """Of a site, on average."""
    slides: int = 3
    """That are drawn and really run, at the first site."""
    slide_px: int = 2048
    seed: int = 1
    reading_list: str = LIST
    write_slide: Callable[[Path, SampleSpec], object] = write_sample_slide

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"RX{_LETTERS[number]}" for number in range(self.sites))


Say = Callable[[str], None]


def run_tutorial(course: Course, say: Say) -> Path:
    """Returns where the report is.  Raises TrialError, OutputError, or what a run raises."""
    new_folder(course.folder)
    keys = make_keys(course.names)
    protocol = make_protocol(course.names, keys, index_test_of(load_card(course.model)))
    region = course.folder / "region"
    write_keys(keys, region)
    signed = region / "protocol.dsse"
    write_private(signed, sign(protocol.document, Kind.PROTOCOL, keys.private["region"]))
    say(f"region: the protocol is signed; sha256 {protocol.sha256}")
    world = _World(course, keys, protocol, signed)
    first, *others = made_sites(course.names, course.cases, course.seed)
    _real_site(world, first, say)
    for site in others:
        _drawn_site(world, site)
    say(f"{len(others)} other sites: their sealed records are drawn, not run")
    return _pool(world, say)


@dataclass(frozen=True, slots=True)
class _World:
    course: Course
    keys: Keys
    protocol: Protocol
    signed: Path

    @property
    def region(self) -> Path:
        return self.course.folder / "region"

    @property
    def threshold(self) -> float:
        return float(self.protocol.document["index_test"]["operating_point"])

    def join(self, ods: str, months: Iterator[str]) -> SiteFolder:
        """A site's folder, whose ledger tells the tutorial's time and not that of today."""
        place = self.course.folder / "sites" / ods
        write_private(place / "site.pem", self.keys.private[ods])
        found = join_trial(
            self.signed, [self.region / "region.pub"], ods, place / "site.pem", place / "trial"
        )
        ledger = Audit(found.trial.ledger.path, lambda: f"{next(months)}-15T09:00:00Z")
        return replace(found, trial=replace(found.trial, ledger=ledger))


def _real_site(world: _World, site: MadeSite, say: Say) -> None:
    """Slides with and without a tumour, run silently by the model."""
    course, place = world.course, world.course.folder / "sites" / site.ods
    folder = world.join(site.ods, cycle(["2027-04"]))
    made = list(made_cases(replace(site, cases=course.slides), world.threshold, course.seed))
    cases = [
        replace(case, condition=tumour, result="TUMOUR" if tumour else "NONE",
                certainty="definite", saw_ai="no", month="2027-04")
        for case, tumour in zip(made, cycle([True, False]), strict=False)
    ]  # fmt: skip
    slides = place / "slides"
    slides.mkdir()
    rows = ["file,trust,accession,slide_id"]
    for number, case in enumerate(cases):
        spec = SampleSpec(course.slide_px, number + 3, 0.5, tumour=case.condition)
        course.write_slide(slides / f"{number}.svs", spec)
        rows.append(f"{number}.svs,{site.ods},{case.accession},{case.accession}-1")
    say(f"{site.ods}: {len(cases)} synthetic slides are drawn")
    table = slides / "cases.csv"
    table.write_text("\n".join(rows) + "\n")
    paths = sorted(slides.glob("*.svs"))
    options = RunOptions(cases=table, device="cpu")
    kept = list(run_trial(paths, folder, course.model, options))
    say(f"{site.ods}: {sum(one.kept for one in kept)} of them were really run, and are sealed")
    _finish(world, folder, cases)


def _drawn_site(world: _World, site: MadeSite) -> None:
    cases = list(made_cases(site, world.threshold, world.course.seed))
    flagged = [case for case in cases if case.has_flag]
    at = iter([case.month for case in flagged])
    folder = world.join(site.ods, at)
    for number, case in enumerate(flagged):
        content = json.dumps(record(case, site.ods, world.threshold, INDEX_TEST)).encode()
        question = Question(f"{number:064x}", f"{1:064x}")
        seal(folder.trial, question, content, folder.public_key)
    last = Audit(folder.trial.ledger.path, lambda: f"{cases[-1].month}-28T09:00:00Z")
    _finish(world, replace(folder, trial=replace(folder.trial, ledger=last)), cases)


def _finish(world: _World, folder: SiteFolder, cases: list[MadeCase]) -> None:
    """Lock, have the key released, analyse, and make the bundle."""
    ods, place = folder.trial.site, folder.path.parent
    reference, patients = place / "reference.csv", place / "patients.csv"
    write_private(reference, reference_table(ods, cases))
    write_private(patients, patients_table(cases))
    locked = lock(folder, reference, Asked(incomplete=True))
    keys = Released(
        unseal=[world.keys.unseal[ods].private_bytes_raw()],
        sites=[world.keys.public[ods]],
        region=world.keys.private["region"],
    )
    register = Audit(world.region / "unseal" / "released.jsonl", folder.trial.ledger.now)
    unseal = release(locked, world.protocol, keys, register)
    analyse(folder, unseal, patients)
    sums = of_document(json.loads((folder.path / "sums.json").read_bytes()))
    audience = Audience.OPEN if ods == world.course.names[-1] else Audience.CONTROLLED
    bundle = release_bundle(folder.trial, sums, world.protocol, audience, world.keys.private[ods])
    write_private(world.region / "bundles" / f"{ods}.dsse", bundle)


def _pool(world: _World, say: Say) -> Path:
    files = {p.name: p.read_bytes() for p in sorted((world.region / "bundles").glob("*.dsse"))}
    door = Door(world.protocol, list(world.keys.public.values()), 1, {})
    sites = sites_of(take_in(files, door), door, world.keys.region.private_bytes_raw())
    pooled = world.region / "pooled"
    save(sites, pooled)
    result = result_of(sites)
    say(f"region: {len(sites.files)} bundles are pooled, {len(sites.left_out)} left out")
    list_file = world.course.folder / "list.toml"
    list_file.write_text(world.course.reading_list)
    scenario = load_list(list_file)
    gains = simulate_each(scenario, draw_accuracies(result, scenario.runs, scenario.seed))
    synthetic = (
        f"{world.course.names[0]}'s slides were drawn and really run; the other sites' sealed"
        " records were drawn."
    )
    place = world.course.folder / "report.html"
    write_private(place, report(sites, result, Extras(gains, None, synthetic)).encode())
    return place
