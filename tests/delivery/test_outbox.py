"""What the outbox keeps, in which order it gives it out, and what it makes of answers."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.conftest import FakeClock, new_id
from wsi_ai.core.flags import Level
from wsi_ai.delivery.messages import Endpoint, Held, Kind, Receipt, Retraction
from wsi_ai.delivery.outbox import Claimed, Outbox, State, open_database
from wsi_ai.errors import DeliveryError, OutputError, Paused, Refused, TryAgain
from wsi_ai.testing import endpoint_for, example_body
from wsi_ai.testing.example_flags import IDENTITY

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
HERE = endpoint_for("here")
HOUR_S = 3600.0


def states(outbox: Outbox) -> dict[tuple[int, str], State]:
    return {(line.revision, line.sink): line.state for line in outbox.lines()}


def accept(outbox: Outbox, claimed: Sequence[Claimed], sink: str = "here") -> None:
    outbox.settle(sink, [(one, Receipt(one.message.flag_id, sink, "ok", None)) for one in claimed])  # type: ignore[arg-type]


def fail(outbox: Outbox, claimed: Sequence[Claimed], error: DeliveryError) -> None:
    outbox.settle("here", [(one, error) for one in claimed])


def revisions(claimed: Sequence[Claimed]) -> list[int]:
    return [one.message.revision for one in claimed]


def test_an_unchanged_rerun_sends_nothing(outbox: Outbox) -> None:
    body = example_body(new_id())
    first = outbox.put(body, [HERE])
    rerun = {
        **body,
        "timestamps": {**body["timestamps"], "issued": "2027-01-01T00:00:00.000Z"},
        "provenance": {**body["provenance"], "run_id": "another"},
    }
    assert outbox.put(rerun, [HERE]) == first
    assert len(outbox.lines()) == 1


def test_a_rerun_with_better_coverage_is_a_new_revision_that_names_the_old_one(
    outbox: Outbox,
) -> None:
    body = example_body(new_id())
    first = outbox.put(body, [HERE])
    accept(outbox, outbox.claim("here"))
    better = {**body, "qc": {**body["qc"], "analysed_fraction": 1.0}}
    second = outbox.put(better, [HERE])
    assert (first["action"], second["action"], second["revision"]) == ("raise", "amend", 2)
    assert second["supersedes"] == outbox.lines()[0].event_id


def test_an_early_flag_is_kept_only_if_it_raises_the_level(outbox: Outbox) -> None:
    name = new_id()
    early = example_body(name, Level.EXPEDITE, 0.6)
    assert outbox.put_early(early, [HERE])["revision"] == 1
    final = outbox.put(example_body(name, Level.EXPEDITE, 0.9), [HERE])
    assert outbox.put_early(early, [HERE]) == final
    assert outbox.put(example_body(name, Level.STANDARD, 0.1), [HERE])["revision"] == 3
    assert outbox.put_early(early, [HERE])["revision"] == 4


def test_revisions_of_a_flag_go_one_after_the_other(outbox: Outbox) -> None:
    name = new_id()
    outbox.put(example_body(name, score=0.6), [HERE])
    first = outbox.claim("here")
    outbox.put(example_body(name, score=0.7), [HERE])
    assert outbox.claim("here") == []
    accept(outbox, first)
    assert revisions(outbox.claim("here")) == [2]


def test_a_revision_that_no_one_saw_is_not_sent_once_there_is_a_newer_one(outbox: Outbox) -> None:
    name = new_id()
    for score in (0.6, 0.7, 0.8):
        outbox.put(example_body(name, score=score), [HERE])
    assert revisions(outbox.claim("here")) == [3]
    assert states(outbox)[1, "here"] is states(outbox)[2, "here"] is State.SKIPPED


def test_a_revision_that_someone_may_have_seen_goes_first_and_at_once(
    outbox: Outbox, clock: FakeClock
) -> None:
    name = new_id()
    outbox.put(example_body(name, score=0.6), [HERE])
    fail(outbox, outbox.claim("here"), TryAgain("no answer in time", after_s=2 * HOUR_S))
    outbox.put(example_body(name, score=0.7), [HERE])
    assert revisions(outbox.claim("here")) == [1]


def test_urgent_flags_go_first(outbox: Outbox, clock: FakeClock) -> None:
    for _ in range(3):
        outbox.put(example_body(new_id(), Level.STANDARD, 0.1), [HERE])
        clock.move(1)
    urgent = outbox.put(example_body(new_id(), Level.EXPEDITE), [HERE])
    assert outbox.claim("here", most=1)[0].message.flag_id == urgent["flag_id"]


def test_a_claim_is_alone_until_its_lease_ends(outbox: Outbox, clock: FakeClock) -> None:
    outbox.put(example_body(new_id()), [HERE])
    assert len(outbox.claim("here", lease_s=60)) == 1
    clock.move(59)
    assert outbox.claim("here", lease_s=60) == []
    clock.move(2)
    (again,) = outbox.claim("here", lease_s=60)
    assert again.attempts == 2


def test_a_receipt_counts_even_after_the_lease(outbox: Outbox, clock: FakeClock) -> None:
    outbox.put(example_body(new_id()), [HERE])
    late = outbox.claim("here", lease_s=60)
    clock.move(61)
    other = outbox.claim("here", lease_s=60)
    accept(outbox, late)
    fail(outbox, other, TryAgain("no answer in time"))
    assert states(outbox) == {(1, "here"): State.DELIVERED}


def test_one_sink_does_not_wait_for_another(outbox: Outbox) -> None:
    outbox.put(example_body(new_id()), [HERE, endpoint_for("there")])
    fail(outbox, outbox.claim("here"), TryAgain("the receiver answered 503", 503))
    accept(outbox, outbox.claim("there"), "there")
    assert states(outbox) == {(1, "here"): State.PENDING, (1, "there"): State.DELIVERED}


@pytest.mark.parametrize(
    ("error", "state", "due_after_s"),
    [
        (TryAgain("the receiver answered 500", 500), State.PENDING, 5),
        (TryAgain("the receiver answered 503", 503, after_s=600), State.PENDING, 600),
        (Paused("the receiver answered 401", 401), State.PENDING, 300),
        (Refused("the receiver answered 400", 400), State.DEAD, None),
    ],
)
def test_an_answer_decides_what_is_next(
    outbox: Outbox, clock: FakeClock, error: DeliveryError, state: State, due_after_s: float | None
) -> None:
    outbox.put(example_body(new_id()), [HERE])
    fail(outbox, outbox.claim("here"), error)
    assert states(outbox) == {(1, "here"): state}
    if due_after_s is None:
        clock.move(1000 * HOUR_S)
        assert outbox.claim("here") == []
    else:
        if due_after_s > 5:
            clock.move(due_after_s - 1)
            assert outbox.claim("here") == []
        clock.move(due_after_s + 1)
        assert len(outbox.claim("here")) == 1


def test_an_endpoint_that_is_gone_gets_nothing_until_a_person_says_so(
    outbox: Outbox, clock: FakeClock
) -> None:
    outbox.put(example_body(new_id()), [HERE])
    fail(outbox, outbox.claim("here"), Paused("the receiver answered 410", 410))
    clock.move(1000 * HOUR_S)
    assert outbox.claim("here") == []
    outbox.hurry()
    assert len(outbox.claim("here")) == 1


def test_an_endpoint_that_fails_ten_times_in_a_row_is_left_alone_for_a_while(
    outbox: Outbox, clock: FakeClock
) -> None:
    for _ in range(11):
        outbox.put(example_body(new_id()), [HERE])
    fail(outbox, outbox.claim("here", most=10), TryAgain("no answer in time"))
    assert outbox.claim("here") == []
    clock.move(31)
    (probe, *_) = outbox.claim("here", most=1)
    accept(outbox, [probe])
    assert len(outbox.claim("here", most=20)) == 10


def test_after_three_days_a_flag_is_dead_and_not_gone(outbox: Outbox, clock: FakeClock) -> None:
    outbox.put(example_body(new_id()), [HERE])
    for hours in range(80):
        fail(outbox, outbox.claim("here"), TryAgain("no answer in time"))
        assert (states(outbox)[1, "here"] is State.DEAD) <= (hours > 72)
        clock.move(HOUR_S)
    (line,) = outbox.lines()
    assert line.state is State.DEAD
    assert outbox.replay(line.event_id) == 1


def test_a_clock_that_is_set_back_delays_nothing(outbox: Outbox, clock: FakeClock) -> None:
    outbox.put(example_body(new_id()), [HERE])
    fail(outbox, outbox.claim("here"), TryAgain("the receiver answered 500", 500))
    clock.move(-5 * HOUR_S)
    assert len(outbox.claim("here")) == 1
    clock.move(-5 * HOUR_S)
    assert len(outbox.claim("here")) == 1


def test_a_flag_without_a_route_is_dead_and_goes_when_it_has_one(outbox: Outbox) -> None:
    other = endpoint_for("other", "RYY")
    outbox.put(example_body(new_id()), [other])
    assert list(states(outbox).values()) == [State.DEAD]
    assert outbox.claim("other") == []
    assert outbox.route_again([other]) == 0
    assert outbox.route_again([other, endpoint_for("here", "RXX")]) == 1
    assert len(outbox.claim("here")) == 1
    assert outbox.claim("other") == []


TRUSTS = ("RAA", "RBB", "RCC")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "retract", "move", "claim"]),
        st.integers(0, 2),
        st.frozensets(st.sampled_from(TRUSTS), min_size=1),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_no_flag_is_ever_given_out_for_an_endpoint_that_did_not_take_its_trust(
    steps: list[tuple[str, int, frozenset[str]]],
) -> None:
    """Whatever happens, and however the endpoints' trusts are set anew in between."""
    clock = FakeClock()
    names = [new_id() for _ in TRUSTS]
    took = {sink: {trust} for sink, trust in zip("abc", TRUSTS, strict=True)}
    now = {sink: endpoint_for(sink, *trusts) for sink, trusts in took.items()}
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        engine = open_database(f"{folder}/outbox.db")
        outbox = Outbox(engine, clock, Random(1))
        for number, (step, n, trusts) in enumerate(steps):
            clock.move(1)
            whose = replace(IDENTITY, trust=TRUSTS[n])
            if step == "put":
                body = example_body(names[n], score=0.5 + number / 100, identity=whose)
                outbox.put(body, now.values())
            elif step == "retract":
                outbox.retract(names[n], Retraction.OPERATOR)
            elif step == "move":
                sink = "abc"[n]
                now[sink], took[sink] = endpoint_for(sink, *trusts), took[sink] | trusts
                outbox.route_again(now.values())
            for sink in "abc" if step == "claim" else ():
                claimed = outbox.claim(sink)
                assert {one.message.trust for one in claimed} <= took[sink]
                accept(outbox, claimed, sink)
        engine.dispose()


def test_a_slide_without_an_identity_is_never_sent(outbox: Outbox) -> None:
    everyone = Endpoint("here", "memory://here", None)
    outbox.put(example_body(new_id(), identity=None), [everyone])
    assert outbox.route_again([everyone]) == 0
    assert outbox.claim("here") == []
    (line,) = outbox.lines()
    assert (line.state, line.told) == (State.SKIPPED, "the slide has no identity")


def test_a_retraction_goes_wherever_the_flag_went_and_holds(outbox: Outbox) -> None:
    body = example_body(new_id())
    outbox.put(body, [HERE])
    accept(outbox, outbox.claim("here"))
    taken = outbox.retract(body["flag_id"], Retraction.SLIDE_MISIDENTIFIED)
    assert taken is not None
    assert (taken["action"], taken["retraction_reason"]) == ("retract", "slide_misidentified")
    (claimed,) = outbox.claim("here")
    assert claimed.message.kind is Kind.RETRACTED
    assert outbox.retract(body["flag_id"], Retraction.OPERATOR) is None
    assert outbox.put(body, [HERE])["action"] == "retract"
    assert outbox.put_early(body, [HERE])["action"] == "retract"
    assert outbox.put(example_body(body["flag_id"], score=0.99), [HERE])["action"] == "amend"


def test_a_recall_takes_back_every_live_flag_of_one_version(outbox: Outbox) -> None:
    for n in range(6):
        body = example_body(new_id())
        outbox.put({**body, "model": {**body["model"], "version": str(n % 2)}}, [HERE])
    assert sum(len(batch.event_ids) for batch in outbox.recall("mean", "1")) == 3
    assert sum(len(batch.event_ids) for batch in outbox.recall("mean", "1")) == 0
    kinds = [line.kind for line in outbox.lines() if line.state is State.PENDING]
    assert sorted(kinds) == [Kind.RAISED] * 3 + [Kind.RETRACTED] * 3


def test_an_old_revision_is_not_replayed_unless_forced(outbox: Outbox) -> None:
    body = example_body(new_id())
    outbox.put(body, [HERE])
    accept(outbox, outbox.claim("here"))
    outbox.retract(body["flag_id"], Retraction.OPERATOR)
    accept(outbox, outbox.claim("here"))
    old = outbox.lines()[0]
    sent = outbox.body(old.event_id)
    with pytest.raises(OutputError, match="a newer revision"):
        outbox.replay(old.event_id)
    assert outbox.replay_old(old.event_id) == 1
    (again,) = outbox.claim("here")
    assert (again.message.event_id, again.message.body) == (old.event_id, sent)


def test_an_urgent_flag_that_is_late_is_told_once(outbox: Outbox, clock: FakeClock) -> None:
    outbox.put(example_body(new_id(), Level.STANDARD, 0.1), [HERE])
    urgent = outbox.put(example_body(new_id()), [HERE])
    clock.move(899)
    assert outbox.take_alarms() == []
    clock.move(2)
    assert [line.flag_id for line in outbox.take_alarms()] == [urgent["flag_id"]]
    assert outbox.take_alarms() == []


def test_an_urgent_flag_that_is_dead_is_told_at_once(outbox: Outbox) -> None:
    outbox.put(example_body(new_id()), [endpoint_for("other", "RYY")])
    assert len(outbox.take_alarms()) == 1


def test_what_the_receiver_lost_is_found(outbox: Outbox) -> None:
    kept, lost, old = (example_body(new_id()) for _ in range(3))
    for body in (kept, lost, old):
        outbox.put(body, [HERE])
    accept(outbox, outbox.claim("here"))
    outbox.put(example_body(old["flag_id"], score=0.9), [HERE])
    accept(outbox, outbox.claim("here"))
    first = {line.flag_id: line.event_id for line in outbox.lines() if line.revision == 1}
    held = {one["flag_id"]: Held(1, first[one["flag_id"]], None) for one in (kept, old)}
    found = outbox.mismatches("here", held)
    assert {(one.flag_id, one.sent, one.held) for one in found} == {
        (lost["flag_id"], 1, None),
        (old["flag_id"], 2, 1),
    }


def test_nothing_is_kept_where_the_decision_could_not_be_recorded(
    outbox: Outbox, database: str, clock: FakeClock
) -> None:
    class Full:
        def check(self) -> None:
            raise OutputError("the audit cannot be written")

        def record(self, rows: Sequence[Any]) -> None:
            raise AssertionError("it was not checked")

    strict = Outbox(outbox.engine, clock, outbox.random, log=Full())
    with pytest.raises(OutputError):
        strict.put(example_body(new_id()), [HERE])
    assert outbox.lines() == []


def test_those_who_put_the_same_flag_at_once_make_one_row_of_revisions(
    outbox: Outbox, database: str, clock: FakeClock
) -> None:
    name = new_id()

    def put_some(start: int) -> None:
        engine = open_database(database)
        for n in range(start, start + 10):
            Outbox(engine, clock, Random(1)).put(example_body(name, score=n / 100), [HERE])
        engine.dispose()

    with ThreadPoolExecutor() as pool:
        list(pool.map(put_some, [50, 60, 70]))
    assert sorted(line.revision for line in outbox.lines()) == list(range(1, 31))
