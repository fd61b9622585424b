"""The queue page and the administration page: what they show, to whom, and what their forms do."""

import re
import time
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.service.pages.stand import Stand, standing
from tests.service.pages.test_worklist_page import form, get
from tests.service.worklist.parts import flag, person, put
from wsi_ai.delivery.outbox import Outbox
from wsi_ai.service import workers
from wsi_ai.service.access import acts, tokens
from wsi_ai.service.access.acts import Wanted
from wsi_ai.service.jobs import Asked, Priority
from wsi_ai.service.queue import Answer, Queue
from wsi_ai.service.watching import book
from wsi_ai.service.watching.book import Entry, WatchState
from wsi_ai.service.workers import Station
from wsi_ai.testing import endpoint_for

PEOPLE = {
    "you": person("you", "region"),
    "RXX": person("rxx", "trust:RXX"),
    "RYJ": person("ryj", "trust:RYJ"),
}


@pytest.fixture
def stand(database: str) -> Any:
    with standing(database, dict(PEOPLE)) as found:
        yield found


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def asked(slide: str, trust: str = "RXX", **more: Any) -> Asked:
    case = {"slide_id": slide, "accession": slide, "trust": trust}
    return Asked(trust=trust, slide_uri=f"file:///{slide}", models=("m",), submitted_by="tests",
                 case=case, **more)  # fmt: skip


def test_it_says_what_waits_how_late_what_died_and_what_has_no_model(stand: Stand) -> None:
    now = time.time()
    earlier = Queue(stand.engine, lambda: now - 7500, Random(1))
    earlier.submit(asked("A-1"))
    earlier.submit(asked("B-1", "RYJ", priority=Priority.BATCH))
    earlier.submit(asked("C-1", priority=Priority.URGENT))
    dead = earlier.claim("w")
    assert dead is not None
    earlier.bury(dead, Answer(level=None, reason="three workers died of it"))
    earlier.submit(replace(asked("scans/E-1.svs", "RYJ"), models=()))
    found, _ = earlier.submit(replace(asked("scans/D%201.svs"), models=()))
    entry = Entry(path="/scans/D 1.svs", size=1, mtime_ns=1, since=now, job_id=found,
                  state=WatchState.REFUSED, reason="two tables say two cases")  # fmt: skip
    book.write(stand.engine, entry, now)
    shown = text_of(get(stand, "/queue"))
    assert "routine RXX 1 2 h 05 min: late by 1 h 05 min 1 h 00 min" in shown
    assert "batch RYJ 1 2 h 05 min 1 d 0 h" in shown
    assert "three workers died of it" in shown
    assert re.search(r"D 1.svs RXX .{1,40} two tables say two cases", shown)
    assert re.search(r"E-1.svs RYJ .{1,40} no rule has a model for it", shown)
    assert "scans" not in shown
    assert "No worker runs" in shown
    other = text_of(get(stand, "/queue", "RYJ"))
    assert "RXX" not in other
    assert "C-1" not in other
    assert "D 1.svs" not in other
    assert "E-1.svs" in other
    assert form(stand, "/queue/again", {"job": dead.job_id}, "RYJ").status_code == 404
    assert form(stand, "/queue/again", {"job": "none"}).status_code == 404
    assert form(stand, "/queue/again", {"job": dead.job_id}).status_code == 303
    assert stand.parts.queue.counts()["waiting"] == 3
    assert "three workers died of it" not in text_of(get(stand, "/queue"))


def test_it_says_how_long_a_flag_took_and_why_slides_were_not_assessed(stand: Stand) -> None:
    now = time.time()
    flags = [flag() for _ in range(3)]
    for at, body in enumerate(flags):
        queue = Queue(stand.engine, lambda at=at: now - 600 * (at + 1), Random(1))
        queue.submit(asked(f"A-{at}"))
        job = queue.claim("w")
        assert job is not None
        outbox = Outbox(stand.engine, lambda at=at: now - 600 * (at + 1) + 60 * (at + 1), Random(1))
        outbox.put(body, [endpoint_for("here", "RXX")])
        level = "not_assessed" if at else "expedite"
        reason = f"blurred: {at}.5 of its tissue"
        queue.done(job, Answer(level=level, reason=reason, flag_ids=[body["flag_id"]]))
    shown = text_of(get(stand, "/queue"))
    assert "RXX 3 2.0 3.0" in shown
    assert "blurred: … of its tissue 2" in shown


def test_it_warns_where_a_model_s_answers_move(stand: Stand) -> None:
    from benchmarks.worklist import seed_lines

    seed_lines(stand.engine, 17 * 2 * 60)
    with stand.engine.begin() as connection:
        old = "UPDATE wsi_ai_newest SET at = at - 200000, level = 'standard', score = 0.2"
        connection.exec_driver_sql(f"{old} WHERE accession < 'S26-01500'")
        new = "UPDATE wsi_ai_newest SET level = 'expedite', score = 0.9, trust = 'R01'"
        connection.exec_driver_sql(f"{new} WHERE accession >= 'S26-01500'")
        connection.exec_driver_sql("UPDATE wsi_ai_newest SET trust = 'R01', model = 'm 1'")
    shown = text_of(get(stand, "/queue"))
    assert "m 1 at R01: share to expedite 100.0 % in the last day, 0.0 %" in shown
    assert "median score 0.90 in the last day, 0.20" in shown


def test_a_worker_is_drained_and_one_that_is_gone_dismissed(stand: Stand) -> None:
    now = time.time()
    workers.enter(stand.engine, Station("here", "box", "cuda:0", "wsi_ai"), now)
    workers.enter(stand.engine, Station("gone", "box", "cuda:1", "wsi_ai"), now - 500)
    shown = text_of(get(stand, "/queue"))
    assert "cuda:1 ✗ gone since" in shown
    for name, more in (("here", {}), ("gone", {"gone": "1", "to": "admin"})):
        fields = {"worker": name, **more}
        assert form(stand, "/queue/drain", fields, "RXX").status_code == 404
        assert form(stand, "/queue/drain", fields).status_code == 303
    (left,) = workers.up(stand.engine, now)
    assert (left.worker_id, left.draining) == ("here", True)


def test_a_token_is_shown_once_and_opens_until_it_is_revoked(stand: Stand) -> None:
    fields = {"name": "scanner-1", "role": "submit", "scope": "trust:RXX", "days": "30"}
    made = form(stand, "/admin/tokens", fields)
    (secret,) = re.findall(r"wsi_[A-Za-z0-9_-]{43}", made.text)
    assert made.headers["cache-control"] == "no-store"
    page = get(stand, "/admin").text
    assert secret not in page
    assert "scanner-1" in page
    with stand.engine.connect() as connection:
        assert tokens.known(connection, secret, time.time()) is not None
    assert form(stand, "/admin/tokens", fields).status_code == 422  # the name was used
    assert form(stand, "/admin/tokens/revoke", {"name": "scanner-1"}).status_code == 303
    with stand.engine.connect() as connection:
        assert tokens.known(connection, secret, time.time()) is None
    done = [one.what for one in acts.search(stand.engine, PEOPLE["you"], Wanted())]
    assert done == ["token revoked", "right granted", "token made"]


def test_an_administrator_of_a_trust_gives_no_more_than_that_trust(stand: Stand) -> None:
    fields = {"to": "subject:amy", "role": "read", "scope": "trust:RXX"}
    assert form(stand, "/admin/rights", fields, "RXX").status_code == 303
    assert form(stand, "/admin/rights", {**fields, "scope": "region"}, "RXX").status_code == 403
    for scope in ("trust:RYJ", "region"):
        asked = {"name": "x", "role": "read", "scope": scope, "days": "1"}
        assert form(stand, "/admin/tokens", asked, "RXX").status_code == 403
    assert "subject:amy" in get(stand, "/admin", "RXX").text
    assert "subject:amy" not in get(stand, "/admin", "RYJ").text
    assert "Where flags go" not in get(stand, "/admin", "RXX").text
    assert form(stand, "/admin/rights/withdraw", fields, "RYJ").status_code == 403
    assert form(stand, "/admin/rights/withdraw", fields, "RXX").status_code == 303
    assert tokens.listed(stand.engine) == []


@pytest.mark.parametrize(
    "wrong",
    [{"role": "king"}, {"scope": "moon"}, {"days": "0"}, {"days": "٣"}, {"days": "9" * 9},
     {"name": "a b"}, {"name": "\u202e"}],
)  # fmt: skip
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_form_of_no_sense_makes_nothing(stand: Stand, wrong: dict[str, str]) -> None:
    fields = {"name": "x", "role": "read", "scope": "trust:RXX", "days": "1"} | wrong
    answer = form(stand, "/admin/tokens", fields)
    assert answer.status_code == 422
    assert "is not a valid" not in answer.text
    assert tokens.listed(stand.engine) == []


def test_it_names_models_by_their_digests_and_finds_what_people_did(stand: Stand) -> None:
    body = put(stand.inbox, flag())
    form(stand, "/worklist/acknowledgements", {"flag": body["flag_id"], "revision": "1"})
    shown = get(stand, "/admin?what=flag+acknowledged").text
    assert body["model"]["weights_sha256"] in shown
    assert body["flag_id"] in shown
    assert body["flag_id"] not in get(stand, "/admin?what=token+made").text
    assert get(stand, "/admin?before=x").status_code == 422
