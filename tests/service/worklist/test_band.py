"""What makes a list red: whatever could be missing from it without a word."""

import time
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.service.worklist.parts import flag, person, put
from wsi_ai.delivery.heartbeat import Backlog, pulse_of
from wsi_ai.delivery.messages import Endpoint, NotStarted
from wsi_ai.delivery.outbox import Outbox
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.delivery.receiver.incoming import Beat, parse
from wsi_ai.service import workers
from wsi_ai.service.access.who import Who
from wsi_ai.service.jobs import Asked, make_job_table
from wsi_ai.service.queue import Queue
from wsi_ai.service.watching import book
from wsi_ai.service.watching.book import Entry, WatchState
from wsi_ai.service.workers import Station
from wsi_ai.service.worklist.band import Band, band_of, facts
from wsi_ai.testing import example_body

AMY = person("amy", "region")
AT = time.time()


def beat(inbox: Inbox, *trusts: str, at: float = AT, **more: Any) -> None:
    endpoint = Endpoint("x", "memory://x", frozenset(trusts), heartbeat_s=60.0)
    backlog = Backlog(0, more.get("dead", 0), None, None, unrouted=more.get("unrouted", 0))
    moment = datetime.fromtimestamp(at, UTC)
    pulse = pulse_of(
        endpoint,
        f"{sum(map(ord, str(trusts))):08x}",
        backlog,
        moment,
        None,
        more.get("not_started"),
    )
    found = parse(pulse.body)
    assert isinstance(found, Beat)
    inbox.hear(found, at)


def band(engine: Engine, who: Who = AMY, now: float = AT) -> Band:
    return band_of(facts(engine, now), who)


def test_where_all_senders_live_and_workers_beat_nothing_is_said(
    engine: Engine, inbox: Inbox
) -> None:
    beat(inbox, "RXX")
    workers.enter(engine, Station("w", "box", "cpu", "x"), AT)
    assert band(engine) == Band()


def test_where_nobody_ever_said_to_live_the_list_is_not_called_complete(engine: Engine) -> None:
    assert "no sender has said here that it lives" in band(engine).why[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"at": AT - 200}, "is silent"),
        ({"unrouted": 2}, "2 slides: no model"),
        ({"unrouted": 1}, "1 slide: no model"),
        ({"not_started": NotStarted(3, "device")}, "a run did not start (device)"),
        ({"dead": 1}, "need a person"),
    ],
)
def test_a_sender_in_trouble_makes_it_red_since_then(
    engine: Engine, inbox: Inbox, more: dict[str, Any], words: str
) -> None:
    beat(inbox, "RXX", **more)
    found = band(engine)
    assert words in found.why[0]
    assert found.since is not None


def test_a_worker_that_is_gone_makes_it_red_until_another_takes_its_place_or_a_person_says_so(
    engine: Engine, inbox: Inbox
) -> None:
    beat(inbox, "RXX")
    for name, device in (("a", "cuda:0"), ("b", "cuda:1"), ("c", "cpu")):
        workers.enter(engine, Station(name, "box", device, "x"), AT - 100)
    assert band(engine).why == ("3 workers of this service are gone",)
    workers.enter(engine, Station("d", "box", "cuda:0", "x"), AT)
    assert band(engine).why == ("2 workers of this service are gone",)
    workers.forget(engine, "b", AMY, AT)
    assert band(engine).why == ("1 worker of this service is gone",)
    workers.drain(engine, "c", AMY, AT)
    assert band(engine).why == ()


def test_slides_that_wait_where_no_worker_runs_make_it_red(engine: Engine, inbox: Inbox) -> None:
    from random import Random

    make_job_table(engine)
    beat(inbox, "RXX")
    queue = Queue(engine, lambda: AT - 90, Random(1))
    queue.submit(Asked(trust="RXX", slide_uri="f", models=("m",), submitted_by="t", case={}))
    assert band(engine, now=AT - 60).why == ()  # a worker may be starting
    assert band(engine).why == ("no worker runs; 1 slide waits",)
    workers.enter(engine, Station("w", "box", "cpu", "x"), AT)
    assert band(engine).why == ()


def test_a_sender_concerns_those_who_may_read_its_trusts(engine: Engine, inbox: Inbox) -> None:
    put(inbox, flag(trust="RYJ", network="N2"))
    beat(inbox, "RXX")
    beat(inbox, "RYJ", at=AT - 500)
    for scopes, is_red in ((("region",), True), (("trust:RYJ",), True), (("network:N2",), True),
                           (("trust:RXX",), False)):  # fmt: skip
        found = band(engine, person("x", *scopes))
        assert bool(found.why) == is_red, scopes
        assert is_red or "RYJ" not in str(found)
    beat(inbox, at=AT - 500)  # whose flags it sends is not said
    assert band(engine, person("x", "trust:RXX")).why


def test_slides_without_a_model_in_a_watched_folder_and_a_folder_that_is_gone_are_said(
    engine: Engine, inbox: Inbox
) -> None:
    from pathlib import Path
    from random import Random

    entry = {"path": "/scans/a.svs", "size": 1, "mtime_ns": 1, "since": AT}
    asked = Asked(trust="RXX", slide_uri="file:///scans/a.svs", models=(), submitted_by="watch",
                  case={})  # fmt: skip
    queue, outbox = Queue(engine, lambda: AT, Random(1)), Outbox(engine, lambda: AT, Random(1))
    found, _ = queue.submit(asked)
    book.write(engine, Entry(**entry, state=WatchState.UNROUTED, job_id=found), AT)
    assert outbox.backlog("here").unrouted == 1
    queue.routed(found)
    assert outbox.backlog("here").unrouted == 0
    found, _ = queue.submit(asked)
    book.forget_folders(engine, [Path("/scans")])
    assert outbox.backlog("here").unrouted == 1  # another folder in its place gives it no model
    queue.cancel_job(found, AMY)
    assert outbox.backlog("here").unrouted == 0
    beat(inbox, "RXX")
    book.write(engine, Entry(**entry | {"path": "/scans"}, state=WatchState.GONE), AT)
    assert band(engine).why == ("1 watched folder is gone: what arrives there is not seen",)


def test_a_slide_of_which_nobody_said_whose_it_is_does_not_go_unseen(
    engine: Engine, inbox: Inbox
) -> None:
    beat(inbox, "RXX")
    outbox = Outbox(engine, lambda: AT, Random(1))
    body = example_body("6b1f7c1e-0000-4000-8000-000000000001", identity=None)
    outbox.put(body, [Endpoint("x", "memory://x", None)])
    (why,) = band(engine).why
    said = "1 slide was judged in the last day, and nobody said whose: no list has the flag"
    assert why == f"{said} (--cases)"
    assert "nobody said whose" not in " ".join(band(engine, now=AT + 90_000).why)
