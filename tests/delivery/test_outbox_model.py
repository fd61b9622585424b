"""Whatever happens in whatever order, the outbox neither loses nor reorders."""

import itertools
import shutil
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.delivery.conftest import FakeClock, new_id
from tests.depth import depth
from wsi_ai.core.flags import Level
from wsi_ai.delivery.messages import Receipt, Retraction
from wsi_ai.delivery.outbox import Claimed, Outbox, State, open_database
from wsi_ai.errors import OutputError, Paused, Refused, TryAgain
from wsi_ai.testing import endpoint_for, example_body

HERE = endpoint_for("here")
LEASE_S = 60.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class OutboxModel(RuleBasedStateMachine):
    """A receiver that keeps what arrives, and relays that claim, send, fail and crash."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wsi-ai-outbox-", dir=MEMORY))
        self.clock = FakeClock()
        self.outbox = self.opened()
        self.flags = [new_id() for _ in range(3)]
        self.said: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self.claimed: list[tuple[Claimed, float]] = []
        self.arrived: dict[str, list[tuple[int, str, bytes]]] = defaultdict(list)
        self.forced: set[str] = set()

    def opened(self) -> Outbox:
        return Outbox(open_database(str(self.folder / "outbox.db")), self.clock, Random(1))

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.engine.dispose()
            shutil.rmtree(self.folder)

    @rule(n=st.integers(0, 2), level=st.sampled_from(Level), score=st.sampled_from([0.6, 0.8]))
    def put(self, n: int, level: Level, score: float) -> None:
        body = example_body(self.flags[n], level, score)
        before = self.outbox.flag(self.flags[n])
        kept = self.outbox.put(body, [HERE])
        self._check_revision(before["revision"] if before else 0, kept["revision"])

    @rule(n=st.integers(0, 2))
    def put_early(self, n: int) -> None:
        before = self.outbox.flag(self.flags[n])
        kept = self.outbox.put_early(example_body(self.flags[n], Level.EXPEDITE, 0.55), [HERE])
        self._check_revision(before["revision"] if before else 0, kept["revision"])

    def _check_revision(self, before: int, after: int) -> None:
        assert after in (before, before + 1)

    @rule(n=st.integers(0, 2))
    def retract(self, n: int) -> None:
        self.outbox.retract(self.flags[n], Retraction.OPERATOR)

    @rule(most=st.integers(1, 4))
    def claim(self, most: int) -> None:
        found = self.outbox.claim("here", most, LEASE_S)
        names = [one.message.flag_id for one in found]
        assert len(set(names)) == len(names)
        self.claimed += [(one, self.clock()) for one in found]

    @precondition(lambda self: self.claimed)
    @rule()
    def send_and_settle(self) -> None:
        one, since = self.claimed.pop(0)
        self.outbox.settle("here", [(one, self._sent(one, since))])

    @precondition(lambda self: self.claimed)
    @rule()
    def send_and_crash_before_the_mark(self) -> None:
        self._sent(*self.claimed.pop(0))

    def _sent(self, one: Claimed, since: float) -> Receipt | None:
        """A relay does not send beyond its lease."""
        if self.clock() >= since + LEASE_S:
            return None
        told = one.message
        self.arrived[told.flag_id].append((told.revision, told.event_id, told.body))
        return Receipt(told.flag_id, "here", "x", datetime.now(UTC))

    @precondition(lambda self: self.claimed)
    @rule(
        error=st.sampled_from(
            [TryAgain("no answer"), TryAgain("busy", 503, 30.0), Paused("who?", 401), Refused("no")]
        )
    )
    def fail(self, error: TryAgain | Paused | Refused) -> None:
        self.outbox.settle("here", [(self.claimed.pop(0)[0], error)])

    @precondition(lambda self: self.claimed)
    @rule()
    def release(self) -> None:
        self.outbox.settle("here", [(self.claimed.pop(0)[0], None)])

    @rule()
    def crash(self) -> None:
        """Every relay dies with what it had claimed."""
        self.claimed.clear()
        self.outbox.engine.dispose()
        self.outbox = self.opened()

    @rule(seconds=st.sampled_from([1.0, 61.0, 400.0, 8000.0, -3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)
        if seconds < 0:
            self.claimed.clear()  # what a lease means is not known any more

    @precondition(lambda self: self.outbox.lines())
    @rule(pick=st.integers(0, 100))
    def replay(self, pick: int) -> None:
        lines = self.outbox.lines()
        line = lines[pick % len(lines)]
        newest = max(one.revision for one in lines if one.flag_id == line.flag_id)
        try:
            self.outbox.replay(line.event_id)
        except OutputError:
            assert line.revision < newest
        else:
            assert line.revision == newest

    @precondition(lambda self: self.outbox.lines())
    @rule(pick=st.integers(0, 100))
    def force_a_replay(self, pick: int) -> None:
        lines = self.outbox.lines()
        name = lines[pick % len(lines)].event_id
        self.outbox.replay_old(name)
        self.forced.add(name)

    @invariant()
    def nothing_is_out_of_order(self) -> None:
        """The first arrival of a revision never comes after a later one, unless it was forced."""
        for arrivals in getattr(self, "arrived", {}).values():
            first = list(dict.fromkeys((r, e) for r, e, _ in arrivals))
            in_order = [r for r, e in first if e not in self.forced]
            assert in_order == sorted(in_order)

    @invariant()
    def the_same_event_is_the_same_bytes(self) -> None:
        for arrivals in getattr(self, "arrived", {}).values():
            bodies = {event_id: body for _, event_id, body in arrivals}
            assert all(bodies[event_id] == body for _, event_id, body in arrivals)

    @invariant()
    def nothing_is_lost(self) -> None:
        """The newest revision is delivered, or waits, or a person is told that it is dead."""
        if not hasattr(self, "outbox"):
            return
        newest = {}
        for line in self.outbox.lines():
            newest[line.flag_id] = max(
                newest.get(line.flag_id, line), line, key=lambda one: one.revision
            )
        for line in newest.values():
            assert line.state is not State.SKIPPED
            if line.state is State.DELIVERED:
                assert line.revision in {r for r, _, _ in self.arrived[line.flag_id]}

    @rule()
    def in_the_end_everything_arrives(self) -> None:
        """Once the receiver is up for good, it comes to hold the newest of every flag."""
        self.claimed.clear()
        for line in self.outbox.lines((State.DEAD,)):
            self.outbox.replay_old(line.event_id)
            self.forced.add(line.event_id)
        self.clock.move(8000)
        self.outbox.hurry()
        for _ in itertools.count():
            found = self.outbox.claim("here", 4, LEASE_S)
            if not found:
                break
            for one in found:
                self.claimed.append((one, self.clock()))
                self.send_and_settle()
        for name in self.flags:
            flag = self.outbox.flag(name)
            held = max((r for r, _, _ in self.arrived[name]), default=0)
            assert held == (flag["revision"] if flag else 0)


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(
    max_examples=depth(10, 200), stateful_step_count=30, deadline=None
)
