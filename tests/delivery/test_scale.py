"""With much waiting, an outbox answers as fast as with little (WSI_AI_WAITING: how much)."""

import os
import threading
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import event as listeners

from tests.delivery.conftest import new_id
from tests.delivery.servers import empty_database
from wsi_ai.core.flags import Level
from wsi_ai.delivery.audit import verify
from wsi_ai.delivery.outbox import Outbox, open_database, revisions
from wsi_ai.delivery.outbox.admin import MOST_LINES, place_of
from wsi_ai.delivery.posting import make_outbox
from wsi_ai.errors import OutputError, TryAgain
from wsi_ai.testing import endpoint_for, example_body

WAITING = int(os.environ.get("WSI_AI_WAITING", "4000"))
RECALLED = int(os.environ.get("WSI_AI_RECALLED", "1500"))
HERE = endpoint_for("here", "RXX")
AT_MOST_S = 0.05


def put_many(outbox: Outbox, flags: int) -> None:
    """As ``put`` does, many in one transaction."""
    body = example_body(new_id())
    for start in range(0, flags, 1000):
        made = [
            ({**body, "flag_id": str(uuid.uuid4()), "revision": 1}, ["here"])
            for _ in range(min(1000, flags - start))
        ]
        with outbox.writing() as connection:
            revisions.keep_all(connection, made, outbox.clock())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outbox]:
    url = str(tmp_path_factory.mktemp("scale") / "outbox.db")
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        empty_database(url)
    outbox = Outbox(open_database(url), time.time, Random(1))
    put_many(outbox, WAITING)
    if request.param == "postgresql":
        with outbox.writing() as connection:
            connection.exec_driver_sql("ANALYZE")
    yield outbox
    outbox.engine.dispose()


def best_of_three(what: Callable[[], object]) -> float:
    """Seconds; the machine may be busy with something else."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        what()
        took.append(time.perf_counter() - began)
    return min(took)


def test_asking_listing_and_claiming_take_no_longer_the_more_waits(full: Outbox) -> None:
    middle = place_of(full.lines()[-1])
    asked: dict[str, Callable[[], object]] = {
        "under_way()": full.under_way,
        "lines()": full.lines,
        "lines() of a later page": lambda: full.lines(after=middle),
        "claim() of nothing": lambda: full.claim("nowhere"),
        "claim() of 32": lambda: full.claim("here"),
        "take_alarms()": full.take_alarms,
        "backlog()": lambda: full.backlog("here"),
        "waiting()": full.waiting,
    }
    took = {name: best_of_three(what) for name, what in asked.items()}
    print(
        full.engine.dialect.name, WAITING, {name: f"{s * 1000:.1f} ms" for name, s in took.items()}
    )
    assert [name for name, seconds in took.items() if seconds > AT_MOST_S] == []


def test_a_paused_endpoint_makes_a_claim_no_slower(full: Outbox) -> None:
    with full.writing() as connection:
        connection.exec_driver_sql("UPDATE delivery SET next_at = next_at + 3000")
    assert full.claim("here") == []
    took = {
        "claim": best_of_three(lambda: full.claim("here")),
        "asked": best_of_three(full.under_way),
    }
    with full.writing() as connection:
        connection.exec_driver_sql("UPDATE delivery SET next_at = next_at - 3000")
    print(
        full.engine.dialect.name, "nothing due:", {k: f"{s * 1000:.1f} ms" for k, s in took.items()}
    )
    assert max(took.values()) < AT_MOST_S


def test_all_lines_come_once_each_in_flat_memory(full: Outbox) -> None:
    tracemalloc.start()
    seen = {(line.event_id, line.sink) for line in full.lines()}
    for line in full.all_lines():
        if len(seen) < 2 * MOST_LINES:
            seen.add((line.event_id, line.sink))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(full.engine.dialect.name, f"all lines: {most / 1e6:.1f} MB at most")
    assert most < 30e6
    assert sum(1 for _ in full.all_lines()) == WAITING


def test_a_recall_lets_others_put_goes_on_where_it_was_and_the_audit_tells_what_happened(
    tmp_path: Path,
) -> None:
    database, stop, waits = str(tmp_path / "outbox.db"), threading.Event(), list[float]()
    with make_outbox(database) as outbox:
        put_many(outbox, RECALLED)

        def put_on() -> None:
            with make_outbox(database) as other:
                while not stop.is_set():
                    began = time.perf_counter()
                    other.put({**example_body(new_id()), "model": MODEL}, [HERE])
                    waits.append(time.perf_counter() - began)

        putter = threading.Thread(target=put_on)
        putter.start()
        began = time.perf_counter()
        stopped = next(outbox.recall("mean", "1"))  # a person gives up after the first batch
        taken = len(stopped.event_ids)
        taken += sum(len(batch.event_ids) for batch in outbox.recall("mean", "1"))
        took = time.perf_counter() - began
        stop.set()
        putter.join()
        print(f"recall of {RECALLED}: {took:.1f} s; {len(waits)} puts beside it,"
              f" the longest {max(waits):.2f} s")  # fmt: skip
        assert taken == RECALLED
        assert took < 60
        assert waits
        with outbox.reading() as connection:
            kept = connection.exec_driver_sql(
                "SELECT count(*) FROM event WHERE kind = 'retracted'"
            ).scalar()
    audit = Path(f"{database}.audit.jsonl")
    verify(audit)
    told = audit.read_text()
    assert kept == told.count('"kind":"retracted"') == RECALLED
    assert told.count('"what":"decision"') == RECALLED + len(waits)


MODEL = {**example_body(new_id())["model"], "version": "2"}


def test_what_was_rolled_back_is_not_in_the_audit(tmp_path: Path) -> None:
    with make_outbox(str(tmp_path / "outbox.db")) as outbox:
        put_many(outbox, 3)
        with outbox.writing() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON unrecorded"
                " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        with pytest.raises(OutputError):
            list(outbox.recall("mean", "1"))
        assert {flag["action"] for flag in outbox.flags()} == {"raise"}
    assert not (tmp_path / "outbox.db.audit.jsonl").read_text()


def test_what_the_audit_could_not_take_at_once_is_told_with_the_next_decision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        rows: list[str] = []  # noqa: RUF012
        fails = True

        def check(self) -> None: ...

        def record(self, rows: list[object]) -> None:
            if self.fails:
                raise OutputError("the audit cannot be written")
            self.rows += [row.flag_id for row in rows]  # type: ignore[attr-defined]

    log = Failing()
    outbox = Outbox(open_database(str(tmp_path / "outbox.db")), time.time, Random(1), log=log)  # type: ignore[arg-type]
    first, second = new_id(), new_id()
    outbox.put(example_body(first), [HERE])
    assert "not in the audit yet" in caplog.text
    log.fails = False
    outbox.put(example_body(second), [HERE])
    assert sorted(log.rows) == sorted([first, second])
    outbox.engine.dispose()


def test_an_urgent_revision_does_not_wait_behind_what_is_not_urgent(tmp_path: Path) -> None:
    """Its own earlier revision, which was tried and goes first, is taken before all others."""
    outbox = Outbox(open_database(str(tmp_path / "outbox.db")), time.time, Random(1))
    name = new_id()
    outbox.put(example_body(name, Level.STANDARD, 0.1), [HERE])
    outbox.settle("here", [(one, TryAgain("no answer")) for one in outbox.claim("here")])
    for _ in range(40):
        outbox.put(example_body(new_id(), Level.STANDARD, 0.1), [HERE])
    outbox.put(example_body(name, Level.EXPEDITE, 0.9), [HERE])
    (first,) = outbox.claim("here", 1)
    assert (first.message.flag_id, first.message.revision) == (name, 1)
    outbox.engine.dispose()


def test_a_put_and_a_recall_look_up_their_own_flags_alone(tmp_path: Path) -> None:
    """However much lies in the outbox: no plan of the database goes through all of it."""
    with make_outbox(str(tmp_path / "outbox.db")) as outbox:
        put_many(outbox, 300)
        asked = list[tuple[str, Any]]()

        def note(_: Any, __: Any, text: str, given: Any, ___: Any, many: bool) -> None:  # noqa: FBT001
            asked.append((text, given[0] if many else given))

        listeners.listen(outbox.engine, "before_cursor_execute", note)
        outbox.put(example_body(new_id()), [HERE])
        assert next(outbox.recall("mean", "1")).event_ids
        listeners.remove(outbox.engine, "before_cursor_execute", note)
        with outbox.reading() as connection:
            plans = [
                step[3]
                for text, given in asked
                if text.startswith(("SELECT", "UPDATE", "DELETE"))
                for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)
            ]
    assert len(plans) > 10
    through_all = "SCAN event", "SCAN delivery", "delivery_changed"
    assert [plan for plan in plans if any(words in plan for words in through_all)] == []
