"""Whichever way a slide without a model came, every receiver hears of it until it has one."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.conftest import FakeClock
from tests.service.api.world import make_world, right
from tests.service.conftest import asked
from tests.stand_in_runs import write_slide
from wsi_ai.delivery.formats.hl7v2.notice import ImageNotice
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.outbox import Outbox, open_database
from wsi_ai.delivery.outbox.database import IN_MEMORY
from wsi_ai.delivery.outbox.unrouted import note_unrouted
from wsi_ai.errors import SlideError
from wsi_ai.service.access.who import ONE_PERSON, Role
from wsi_ai.service.api.app import api
from wsi_ai.service.arrivals import Admitted, Arrival, Choose, admit, admit_again, one_question
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.image_notices import QueuedNotices, Site
from wsi_ai.service.jobs import JobState
from wsi_ai.service.queue import Answer, LostJob, Queue
from wsi_ai.service.routing.rules import Routing, Rule
from wsi_ai.service.sectra.application import Application
from wsi_ai.service.sectra.image_info import PacsSite
from wsi_ai.service.watching import book
from wsi_ai.service.watching.archive import ArchiveWatch
from wsi_ai.service.watching.settled import Arrivals
from wsi_ai.service.watching.slides import SiteTable
from wsi_ai.service.watching.watcher import FolderWatch, WatchPace
from wsi_ai.slides.readers.dicomweb.archive import Answer as ArchiveAnswer
from wsi_ai.slides.readers.dicomweb.archive import Archive

AT_ONCE = WatchPace(looks=1, dicom_quiet_s=0, patience_s=0)
TRIAL = Routing((Rule("trial", ("t@1",), silent=True),)).choices
MODEL = one_question(["m@1"])


def no_model(_: object) -> tuple[()]:
    return ()


def told(queue: Queue) -> int:
    """What the next heartbeat says."""
    return Outbox(queue.engine, queue.clock, Random(1)).backlog("here").unrouted


def arrival(slide: str = "a", *same: str) -> Arrival:
    return Arrival(trust="RXX", slide_uri=f"file:///scans/{slide}.svs", source="watch",
                   case={"trust": "RXX", "accession": "S26-1", "slide_id": slide}, facts={},
                   same=same)  # fmt: skip


def listed(queue: Queue, slide: str = "a", choose: Choose = no_model) -> Admitted:
    """The slide without a model; time goes on."""
    queue.clock.move(1)  # type: ignore[attr-defined]
    return admit(queue, choose, arrival(slide))[-1]


def by_api(queue: Queue, folder: Path) -> None:
    world = make_world(queue.engine, queue.clock, folder / "site")  # type: ignore[arg-type]
    world = replace(world, app=api(replace(world.parts, choose=no_model)))
    token = world.token("scanner", right(Role.SUBMIT))
    slide = (folder / "site" / "RXX" / "slides" / "a.svs").as_uri()
    answer = world.ask("POST", "/v1/jobs", token, json={"trust": "RXX", "slide": slide})
    assert answer.status == 202, answer.body


def by_notice(queue: Queue, folder: Path) -> None:
    site = Site("RXX", no_model, f"{folder}/{{slide_id}}.svs")
    outbox = Outbox(queue.engine, queue.clock, Random(1))
    notice = ImageNotice("M1", "S26-1-A1", "S26-1", available=True, study_uid=None, series_uid=None)
    QueuedNotices(queue, outbox, site).available(notice)


def by_sectra(queue: Queue, _: Path) -> None:
    url = "https://pacs.example/iai"
    site = PacsSite(Endpoint("pacs", f"sectra+{url}", frozenset({"RXX"})), "RXX")
    application = Application(queue, site, [], "https://here.example", choose=no_model)
    callback = {"url": url, "token": "t" * 20}
    application.notified({"applicationId": "wsi-ai", "slideId": "guid-1", "callbackInfo": callback})


class OneSeries(Archive):
    """Has it, and does not say what it is."""

    def get(self, url: str, accept: str, most_bytes: int) -> ArchiveAnswer:
        if "/series?" not in url:
            raise SlideError("the archive cannot say")
        row = {"0020000D": {"Value": ["1.2"]}, "0020000E": {"Value": ["1.2.3"]}}
        return ArchiveAnswer(200, accept, json.dumps([row]).encode())


def by_dicomweb(queue: Queue, _: Path) -> None:
    arrivals = Arrivals(queue, no_model, SiteTable("RXX", None, None))
    with closing(OneSeries()) as archive:
        watch = ArchiveWatch("dicomweb://pacs.example/dicom-web", arrivals, AT_ONCE, archive)
        assert watch.step() == 1


def by_folder(queue: Queue, folder: Path) -> None:
    scans = folder / "scans"
    scans.mkdir()
    write_slide(scans / "S26-1-A1.tif", side=128)
    arrivals = Arrivals(queue, no_model, SiteTable("RXX", None, None))
    assert FolderWatch(scans, arrivals, AT_ONCE).step() == 1


@pytest.mark.parametrize("come", [by_api, by_notice, by_sectra, by_dicomweb, by_folder])
def test_whichever_way_a_slide_without_a_model_came_receivers_are_told(
    queue: Queue, tmp_path: Path, come: Callable[[Queue, Path], None]
) -> None:
    assert told(queue) == 0
    come(queue, tmp_path)
    assert told(queue) == queue.counts()[JobState.UNROUTED] == 1


def test_a_slide_that_only_a_model_on_trial_judges_is_told_of(queue: Queue) -> None:
    listed(queue, choose=TRIAL)
    assert told(queue) == 1
    listed(queue, choose=TRIAL)
    assert told(queue) == 1  # the same slide
    listed(queue, "b")
    assert told(queue) == 2


def by_new_rule(queue: Queue, _: Admitted) -> None:
    assert admit_again(queue, MODEL) == 1


def by_withdrawal(queue: Queue, _: Admitted) -> None:
    queue.withdraw("RXX", "a", None)


def by_hand(queue: Queue, found: Admitted) -> None:
    assert queue.cancel_job(found.job_id, ONE_PERSON)


def by_asker(queue: Queue, _: Admitted) -> None:
    assert queue.cancel("watch") >= 1


def by_coming_again(queue: Queue, _: Admitted) -> None:
    assert listed(queue, choose=MODEL).new


@pytest.mark.parametrize(
    "leave", [by_new_rule, by_withdrawal, by_hand, by_asker, by_coming_again]
)  # fmt: skip
@pytest.mark.parametrize("choose", [no_model, TRIAL])
def test_once_it_has_a_model_or_is_cancelled_receivers_are_told_no_more(
    queue: Queue, leave: Callable[[Queue, Admitted], None], choose: Choose
) -> None:
    found = listed(queue, choose=choose)
    assert told(queue) == 1
    leave(queue, found)
    assert told(queue) == queue.counts().get(JobState.UNROUTED, 0) == 0


def test_a_file_that_is_written_anew_is_one_slide_and_its_last_state_counts(queue: Queue) -> None:
    clock: FakeClock = queue.clock  # type: ignore[assignment]
    for state in ("1", "2", "3"):
        clock.move(1)
        admit(queue, no_model, arrival("a", state))
    assert told(queue) == 1
    (left,) = queue.lines([JobState.UNROUTED])
    assert left.created == clock.now
    admit(queue, no_model, replace(arrival("a", "4"), trust="RYY"))
    assert told(queue) == 2  # another trust's is another slide


def test_of_two_that_came_at_the_same_moment_none_takes_the_other_out(queue: Queue) -> None:
    for state in ("1", "2"):
        admit(queue, no_model, arrival("a", state))
    assert told(queue) == 2


def test_one_more_model_that_a_person_asks_for_leaves_it_to_a_rule(queue: Queue) -> None:
    listed(queue)
    queue.submit(asked("a"))
    assert told(queue) == 1


def test_a_slide_that_is_taken_over_with_its_folder_still_has_no_model(
    queue: Queue, tmp_path: Path
) -> None:
    by_folder(queue, tmp_path)
    book.forget_folders(queue.engine, [tmp_path / "scans"])
    assert told(queue) == 1
    arrivals = Arrivals(queue, MODEL, SiteTable("RXX", None, None))
    queue.clock.move(1)  # type: ignore[attr-defined]
    assert FolderWatch(tmp_path / "scans", arrivals, AT_ONCE).step() == 1
    assert told(queue) == 0


@pytest.mark.parametrize("wrong", [0, 7])
def test_a_count_that_is_wrong_is_right_once_a_service_starts(queue: Queue, wrong: int) -> None:
    """As an earlier version, which counted watched folders alone, left it."""
    listed(queue)
    with queue.engine.begin() as connection:
        note_unrouted(connection, wrong)
    assert told(queue) == wrong
    make_service_tables(queue.engine)
    assert told(queue) == 1


def test_what_comes_and_goes_at_the_same_time_is_counted_rightly(queue: Queue) -> None:
    def one(slide: str) -> None:
        (found,) = admit(queue, no_model, arrival(slide))
        if slide in "abc":
            queue.cancel_job(found.job_id, ONE_PERSON)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, "abcdefgh"))
    assert told(queue) == queue.counts()[JobState.UNROUTED] == 5


class Doings:
    """What people, interfaces and workers may do with slides that may have no model."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.held: dict[str, Any] = {}

    def unrouted(self, slide: str) -> None:
        admit(self.queue, no_model, arrival(slide))

    def on_trial(self, slide: str) -> None:
        admit(self.queue, TRIAL, arrival(slide))

    def changed(self, slide: str) -> None:
        admit(self.queue, no_model, arrival(slide, "changed"))

    def routed(self, slide: str) -> None:
        admit(self.queue, MODEL, arrival(slide))

    def ruled(self, _: str) -> None:
        admit_again(self.queue, MODEL)

    def withdrawn(self, slide: str) -> None:
        self.queue.withdraw("RXX", slide, None)

    def cancelled(self, _: str) -> None:
        self.queue.cancel("watch")

    def claimed(self, slide: str) -> None:
        self.held[slide] = self.queue.claim(slide)

    def given_back(self, slide: str) -> None:
        if (mine := self.held.pop(slide, None)) is not None:
            self._unless_lost(lambda: self.queue.give_back(mine, 0, "not ready"))

    def done(self, slide: str) -> None:
        if (mine := self.held.pop(slide, None)) is not None:
            answer = Answer(level="standard", reason="seen")
            self._unless_lost(lambda: self.queue.done(mine, answer))

    def lease_lost(self, _: str) -> None:
        self.queue.clock.move(500)  # type: ignore[attr-defined]

    def once_more(self, _: str) -> None:
        for line in self.queue.lines([JobState.DONE, JobState.CANCELLED]):
            self.queue.again(line.job_id)

    def _unless_lost(self, do: Callable[[], None]) -> None:
        with suppress(LostJob):
            do()


DOINGS = [one for name, one in vars(Doings).items() if not name.startswith("_")]


@given(steps=st.lists(st.tuples(st.sampled_from(DOINGS), st.sampled_from("ab")), max_size=20))
@settings(max_examples=20)
def test_whatever_is_done_the_count_is_that_of_the_table(
    steps: list[tuple[Callable[..., None], str]],
) -> None:
    engine = open_database(IN_MEMORY)
    make_service_tables(engine)
    queue = Queue(engine, FakeClock(), Random(1))
    doings = Doings(queue)
    for step, slide in steps:
        step(doings, slide)
        queue.clock.move(1)  # type: ignore[attr-defined]
        assert told(queue) == queue.counts().get(JobState.UNROUTED, 0)
    engine.dispose()
