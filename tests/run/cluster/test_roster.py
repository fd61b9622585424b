"""Workers come and go, without a network."""

from pathlib import Path
from typing import Any

import pytest

from wsi_ai.app import NoWatcher
from wsi_ai.errors import DeviceError, ModelError, Stopped
from wsi_ai.run.cluster.messages import FromWorker
from wsi_ai.run.cluster.roster import Roster
from wsi_ai.run.fleet import messages

A, B = "tls://10.0.0.1:1", "tls://10.0.0.2:1"
FIT = {"name": "a", "resources": {"slide": 2}, "nthreads": 2, "memory_limit": 0}


def worker(**changes: Any) -> dict[str, Any]:
    return {**FIT, **changes}


def test_a_worker_that_comes_later_gets_slides_and_one_that_went_does_not() -> None:
    roster = Roster(NoWatcher())
    roster.look({A: worker()})
    assert roster.slots == {0}
    assert not roster.look({A: worker(), B: worker(name="b")})
    assert roster.slots == {0, 1}
    (lost,) = roster.look({B: worker(name="b")})
    assert (lost.slot, lost.name) == (0, "worker a")
    assert roster.slots == {1}


def test_one_that_was_started_anew_under_its_old_address_is_taken_in_again() -> None:
    roster = Roster(NoWatcher())
    roster.look({A: worker()})
    roster.leave(roster.members()[0])
    roster.look({A: worker()})
    assert not roster.members(), "it is about to end"
    roster.gone(A)
    roster.look({A: worker()})
    assert roster.slots == {1}


def test_a_worker_that_is_closing_keeps_its_slides_and_gets_no_more() -> None:
    roster = Roster(NoWatcher())
    roster.look({A: worker(status="running"), B: worker(name="b", status="running")})
    assert not roster.look({A: worker(status="closing_gracefully"), B: worker(name="b")})
    assert [member.address for member in roster.members()] == [B]
    assert roster.slots == {0, 1}, "it may still give what it has"
    roster.look({A: worker(status="running"), B: worker(name="b")})
    assert len(roster.members()) == 2


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (worker(memory_limit=1 << 30), "killed for the memory.*--memory-limit 0"),
        (worker(resources={}), 'no room for two slides.*--resources "slide=2"'),
        (worker(resources={"slide": 1}), "no room"),
        (worker(nthreads=1), "no room.*--nthreads 2"),
    ],
)
def test_a_worker_that_would_lose_slides_gets_none(found: dict[str, Any], words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        Roster(NoWatcher()).look({A: found})
    both = Roster(NoWatcher())
    both.look({A: found, B: worker(name="b")})
    assert [member.address for member in both.members()] == [B]


def test_a_worker_that_is_reached_openly_gets_no_slide() -> None:
    with pytest.raises(DeviceError, match="without TLS"):
        Roster(NoWatcher()).look({"tcp://10.0.0.1:1": worker()})


def test_where_every_runtime_is_refused_the_run_says_why() -> None:
    roster = Roster(NoWatcher())
    roster.look({A: worker()})
    roster.refuse(roster.members()[0], ModelError("the weights do not fit their card"))
    with pytest.raises(ModelError, match="do not fit"):
        roster.look({A: worker()})


def test_a_worker_is_waited_for_no_longer_than_was_asked() -> None:
    Roster(NoWatcher()).look({})
    impatient = Roster(NoWatcher(), patience_s=-1)
    with pytest.raises(DeviceError, match="no worker"):
        impatient.look({})


class Stopping(NoWatcher):
    def __init__(self) -> None:
        self.stop = False

    def passed(self, done: int) -> None:
        if self.stop:
            raise Stopped("the job was stopped")


def test_a_watch_that_wants_to_stop_is_asked_also_where_no_tile_passes() -> None:
    watch = Stopping()
    roster = Roster(watch)
    roster.look({A: worker()})
    for news in (messages.Started(Path("a.tif")), messages.Planned(64, 0)):
        roster.show(FromWorker("run", A, news))
    roster.look({A: worker()})
    watch.stop = True
    with pytest.raises(Stopped):
        roster.look({A: worker()})
