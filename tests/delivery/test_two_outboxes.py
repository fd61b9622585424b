"""A new OUT, a machine set up anew, another machine of the trust: two outboxes, one receiver."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery import two_outboxes
from tests.delivery.conftest import FakeClock, new_id
from tests.delivery.parts import FAST, KEY, webhook
from tests.delivery.servers import empty_database, serving
from tests.depth import depth, nightly
from wsi_ai.core.flags import Level
from wsi_ai.delivery.events import answer_digest, message_of
from wsi_ai.delivery.messages import Endpoint, Receipt, Retraction, Version
from wsi_ai.delivery.outbox import Outbox, State, open_database
from wsi_ai.delivery.outbox.retention import copy_to
from wsi_ai.delivery.receiver.inbox import Inbox, open_inbox
from wsi_ai.delivery.receiver.incoming import parse
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.relay import Relay
from wsi_ai.delivery.sinks import folder
from wsi_ai.errors import OutputError, Refused
from wsi_ai.testing import endpoint_for, example_body

HERE = endpoint_for("region", "RXX")


class Site:
    """Outboxes, each with a relay that is stepped by hand, before one receiver."""

    def __init__(self, base: str, inbox: Inbox, databases: list[str]) -> None:
        self.inbox, self.sink = inbox, webhook(base)
        self.outboxes = [self.opened(database) for database in databases]

    @staticmethod
    def opened(database: str) -> Outbox:
        return Outbox(open_database(database), time.time, Random(1))

    def deliver(self, outbox: Outbox) -> None:
        while outbox.waiting():
            outbox.hurry()
            Relay(outbox, [self.sink], FAST).step(self.sink)

    def shown(self) -> list[tuple[int, str]]:
        return [(line["revision"], line["level"]) for line in self.inbox.worklist()]

    def lost(self, outbox: Outbox) -> list[object]:
        return list((Relay(outbox, [self.sink], FAST).reconcile()["region"]) or ())


@pytest.fixture
def site(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Iterator[Site]:
    other = str(tmp_path / "other.db")
    inbox = open_inbox(tmp_path / "inbox.db")
    with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
        site = Site(base, inbox, [database, other])
        yield site
        site.sink.close()
    for outbox in site.outboxes:
        outbox.engine.dispose()
    inbox.close()


def test_the_last_word_holds_though_both_outboxes_number_from_one(site: Site) -> None:
    """OUT=monday sent revisions 1 and 2, OUT=tuesday sends 1 and 2 with another level."""
    monday, tuesday = site.outboxes
    name = new_id()
    for level, score in ((Level.STANDARD, 0.1), (Level.STANDARD, 0.2)):
        monday.put(example_body(name, level, score), [HERE])
        site.deliver(monday)
    for score in (0.6, 0.9):
        tuesday.put(example_body(name, Level.EXPEDITE, score), [HERE])
        site.deliver(tuesday)
    assert site.shown() == [(4, "expedite")]
    assert not [line for line in tuesday.lines() if line.state is State.DEAD]
    assert site.lost(tuesday) == []
    assert len(site.lost(monday)) == 1  # and that another outbox overruled it is seen there
    monday.put(example_body(name, Level.STANDARD, 0.3), [HERE])
    site.deliver(monday)
    assert site.shown() == [(5, "standard")]


def test_the_same_answer_by_another_outbox_is_the_same_event(site: Site) -> None:
    first, second = site.outboxes
    body = example_body(new_id())
    later = {**body, "timestamps": {**body["timestamps"], "issued": "2027-01-01T00:00:00.000Z"}}
    assert message_of(body).event_id == message_of(later).event_id
    for outbox, flag in ((first, body), (second, later)):
        outbox.put(flag, [HERE])
        site.deliver(outbox)
        assert site.lost(outbox) == []
    assert site.shown() == [(1, "expedite")]


def test_an_answer_that_was_replaced_holds_again_where_another_outbox_gives_it_anew(
    site: Site,
) -> None:
    """The very event arrived before, from the first outbox: what the second one says is new."""
    first, second = site.outboxes
    name = new_id()
    for level, score in ((Level.EXPEDITE, 0.9), (Level.STANDARD, 0.1)):
        first.put(example_body(name, level, score), [HERE])
        site.deliver(first)
    old = next(line.event_id for line in first.lines() if line.revision == 1)
    first.replay_old(old)
    site.deliver(first)
    assert site.shown() == [(2, "standard")]
    second.put(example_body(name, Level.EXPEDITE, 0.9), [HERE])
    site.deliver(second)
    assert site.shown() == [(3, "expedite")]


def test_what_was_taken_back_stays_taken_back_whatever_another_outbox_says(site: Site) -> None:
    first, second = site.outboxes
    name = new_id()
    first.put(example_body(name), [HERE])
    first.retract(name, Retraction.SLIDE_MISIDENTIFIED)
    site.deliver(first)
    second.put(example_body(name, score=0.9), [HERE])
    site.deliver(second)
    assert site.shown() == []
    (line,) = second.lines()
    assert (line.state, line.told) == (
        State.SKIPPED, "the receiver holds that this flag was taken back elsewhere",
    )  # fmt: skip
    second.put(example_body(name, score=0.8), [HERE])  # the question asked anew, another answer
    site.deliver(second)
    assert site.shown() == [(3, "expedite")]


def test_what_one_outbox_takes_back_is_taken_back_though_another_one_said_it_last(
    site: Site,
) -> None:
    first, second = site.outboxes
    name = new_id()
    first.put(example_body(name), [HERE])
    site.deliver(first)
    second.put(example_body(name, score=0.9), [HERE])
    site.deliver(second)
    assert len(list(first.recall("mean", "1"))) == 1
    site.deliver(first)
    assert site.shown() == []
    assert not [line for line in first.lines() if line.state is State.DEAD]


def test_a_revision_that_was_superseded_before_it_was_sent_breaks_no_chain(site: Site) -> None:
    outbox, name = site.outboxes[0], new_id()
    outbox.put(example_body(name, score=0.6), [HERE])
    site.deliver(outbox)
    for score in (0.7, 0.8):
        outbox.put(example_body(name, score=score), [HERE])
    site.deliver(outbox)
    assert [became for *_, became in site.inbox.arrivals()] == ["newest", "newest"]
    assert site.shown() == [(3, "expedite")]


def test_each_sink_is_told_what_follows_what_it_holds(tmp_path: Path) -> None:
    """One of two receivers knows of another outbox, and only there is the answer put anew."""
    outbox = Outbox(open_database(str(tmp_path / "outbox.db")), time.time, Random(1))
    where = [Endpoint(n, f"file://{tmp_path}/{n}", None) for n in ("fresh", "known")]
    sinks, name = [folder.open_sink(one) for one in where], new_id()
    sinks[1].send(message_of(example_body(name, Level.STANDARD, 0.1)), None)  # type: ignore[arg-type]
    for score in (0.7, 0.8, 0.9):
        outbox.put(example_body(name, score=score), where)
        for _ in range(2):
            for sink in sinks:
                Relay(outbox, [sink], FAST).step(sink)
    answer = answer_digest(example_body(name, score=0.9))
    assert [sink.held(None)[name].answer for sink in sinks] == [answer] * 2  # type: ignore[arg-type]
    assert outbox.waiting() == 0
    assert not [line for line in outbox.lines() if line.state is State.DEAD]
    conflicts = [line for line in outbox.lines() if "put anew" in (line.told or "")]
    assert len(conflicts) == 1
    outbox.engine.dispose()


def test_an_outbox_restored_from_a_copy_goes_on_and_says_what_it_missed(
    site: Site, tmp_path: Path, clock: FakeClock
) -> None:
    whole, name, other = site.outboxes[1], new_id(), new_id()
    whole.put(example_body(name, score=0.6), [HERE])
    site.deliver(whole)
    whole.put(example_body(other, score=0.6), [HERE])  # waits in the copy
    copy_to(whole.engine, tmp_path / "copy.db")
    site.deliver(whole)
    whole.put(example_body(name, Level.STANDARD, 0.1), [HERE])  # after the copy
    site.deliver(whole)
    restored = site.opened(str(tmp_path / "copy.db"))
    assert len(site.lost(restored)) == 1
    site.deliver(restored)
    restored.put(example_body(name, score=0.9), [HERE])
    site.deliver(restored)
    assert sorted(site.shown()) == [(1, "expedite"), (3, "expedite")]
    assert site.lost(restored) == []
    assert restored.identity() == whole.identity()
    restored.engine.dispose()


def test_a_receiver_of_version_1_0_gets_the_same_event_without_extensions(tmp_path: Path) -> None:
    outbox = Outbox(open_database(str(tmp_path / "outbox.db")), time.time, Random(1))
    new = Endpoint("new", f"file://{tmp_path}/new", None)
    old = replace(new, name="old", url=f"file://{tmp_path}/old", version=Version.V1_0)
    body = example_body(new_id()) | {"extensions": {"image": "2 of 3"}}
    outbox.put(body, [new, old])
    outbox.put({**body, "extensions": {"image": "3 of 3"}}, [new, old])
    (whole,), (plain,) = (outbox.claim(one.name, version=one.version) for one in (new, old))
    assert whole.message.event_id == plain.message.event_id
    told, less = parse(whole.message.body).flag, parse(plain.message.body).flag  # type: ignore[union-attr]
    assert (told["schema_version"], told["extensions"]) == ("1.1", {"image": "3 of 3"})
    assert less == {k: v for k, v in told.items() if k != "extensions"} | {"schema_version": "1.0"}
    outbox.engine.dispose()


@settings(max_examples=depth(8, 60, "WSI_AI_ORDERS"), deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from([Level.EXPEDITE, Level.STANDARD, Level.NOT_ASSESSED, None]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whoever_speaks_last_is_what_the_receiver_holds(
    steps: list[tuple[int, Level | None]],
) -> None:
    """Two outboxes put and take back in any order, each delivered at once; ``None`` takes back.

    A flag that was taken back by one comes back only by what the other says anew after it heard.
    """
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as at:
        _play(Path(at), steps)


def _play(at: Path, steps: list[tuple[int, Level | None]]) -> None:
    where, name = Endpoint("region", f"file://{at}/held", None), new_id()
    sink = folder.open_sink(where)
    outboxes = [Outbox(open_database(str(at / f"{n}.db")), time.time, Random(1)) for n in (0, 1)]
    for n, (who, level) in enumerate(steps):
        before = sink.held(None).get(name)  # type: ignore[arg-type]
        outbox = outboxes[who]
        known = outbox.flag(name)
        score = {Level.EXPEDITE: 0.6, Level.STANDARD: 0.1}.get(level or Level.NOT_ASSESSED, 0)
        score += n % 2 / 100
        if level is None:
            said = outbox.retract(name, Retraction.OPERATOR)
        else:
            said = outbox.put(example_body(name, level, score), [where])
        spoke = said is not None and said != known
        for _ in range(3):
            Relay(outbox, [sink], FAST).step(sink)
        held = sink.held(None).get(name)  # type: ignore[arg-type]
        assert not [line for line in outbox.lines() if line.state in (State.DEAD, State.PENDING)]
        if held is None or said is None or not spoke:
            assert held == before
        elif level is None or (before and before.retracted and held == before):
            assert held.retracted
        else:
            assert held.answer == answer_digest(said)
    for outbox in outboxes:
        outbox.engine.dispose()


@pytest.mark.parametrize("kind", [nightly("sqlite"), "postgresql"])
def test_killed_again_and_again_two_outboxes_leave_nothing_lost_and_nothing_wrong(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """WSI_AI_KILLS for more; ``python -m tests.delivery.two_outboxes`` is the long one."""
    databases = [str(tmp_path / "one.db"), str(tmp_path / "other.db")]
    if kind == "postgresql":
        databases[0] = request.getfixturevalue("postgres_url")
        empty_database(databases[0])
    kills = depth(2, 6, "WSI_AI_KILLS")
    found = two_outboxes.measured(tmp_path, databases, 15 * kills, kills)
    assert found.conflicts > 0
    assert (found.lost, found.out_of_order, found.wrong, found.dead) == (0, 0, 0, 0)


def test_a_copy_takes_no_other_files_place(tmp_path: Path) -> None:
    outbox = Outbox(open_database(str(tmp_path / "outbox.db")), time.time, Random(1))
    (tmp_path / "there").touch()
    with closing(outbox.engine.raw_connection()), pytest.raises(OutputError, match="already"):
        copy_to(outbox.engine, tmp_path / "there")
    outbox.engine.dispose()


def test_a_revision_that_is_sent_again_says_what_it_said_whatever_was_sent_since(
    tmp_path: Path,
) -> None:
    """The second one was refused; so the third follows the first, whatever came since."""
    outbox = Outbox(open_database(str(tmp_path / "outbox.db")), time.time, Random(1))
    name, refused, sent = new_id(), [None, Refused("no"), None], dict[int, set[bytes]]()

    def send(error: Refused | None) -> None:
        (one,) = outbox.claim("region")
        sent.setdefault(one.message.revision, set()).add(one.message.body)
        receipt = Receipt(name, "region", "x", datetime.now(UTC))
        outbox.settle("region", [(one, error or receipt)])

    for score, error in zip((0.6, 0.7, 0.8), refused, strict=True):
        outbox.put(example_body(name, score=score), [HERE])
        send(error)
    for line in outbox.lines()[1:]:
        outbox.replay_old(line.event_id)
        send(None)
    assert [len(bodies) for bodies in sent.values()] == [1, 1, 1]
    outbox.engine.dispose()
