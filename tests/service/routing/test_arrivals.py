"""A slide that comes gets its jobs, or is written down as one without a model."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine

from tests.delivery.conftest import FakeClock
from wsi_ai.errors import InputError
from wsi_ai.service.arrivals import Arrival, admit, admit_again, one_question
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.jobs import Priority
from wsi_ai.service.opening import models_for
from wsi_ai.service.queue import Queue
from wsi_ai.service.routing.rules import Facts, Routing, Rule

COLON = Rule("colon", ("c@1",), {"organ": ("colon",)}, priority=Priority.URGENT)
TRIAL = Rule("trial", ("t@1",), {"stain": ("h&e",)}, silent=True)


@pytest.fixture
def queue(database: str, clock: FakeClock) -> Iterator[Queue]:
    engine: Engine = open_service_database(database)
    yield Queue(engine, clock, Random(1))
    engine.dispose()


def arrival(**more: str) -> Arrival:
    case = {"trust": "RXX", "accession": "S26-1", "slide_id": "a", "stain": "H&E", **more}
    return Arrival(
        trust="RXX", slide_uri="file:///scans/a.svs", source="watch", case=case, facts={}
    )


def test_each_rule_that_takes_it_makes_a_job_and_the_same_slide_again_makes_none(
    queue: Queue,
) -> None:
    choose = Routing((COLON, TRIAL)).choices
    first = admit(queue, choose, arrival(organ="colon"))
    again = admit(queue, choose, arrival(organ="colon"))
    assert [one.rule for one in first] == ["colon", "trial"]
    assert [one.job_id for one in first] == [one.job_id for one in again]
    assert not any(one.new for one in again)
    jobs = [queue.claim("w"), queue.claim("w")]
    assert [(j.asked.models, j.asked.silent, j.asked.urgent) for j in jobs if j] == [
        (("c@1",), False, True),
        (("t@1",), True, False),
    ]


def test_a_slide_without_a_model_is_never_run_and_is_counted(queue: Queue) -> None:
    choose = Routing((COLON, TRIAL)).choices
    found = admit(queue, choose, arrival(organ="skin"))
    assert [one.rule for one in found] == ["trial", ""]
    assert queue.counts() == {"waiting": 1, "unrouted": 1}
    mine = queue.claim("w")
    assert mine is not None
    assert mine.asked.silent
    assert queue.claim("w") is None


def test_a_new_rule_takes_what_waited_for_one_once(queue: Queue) -> None:
    admit(queue, Routing((COLON,)).choices, arrival(organ="skin"))
    skin = Rule("skin", ("s@1",), {"organ": ("skin",), "stain": ("h&e",), "trust": ("rxx",)})
    assert admit_again(queue, Routing((COLON,)).choices) == 0
    assert admit_again(queue, Routing((COLON, skin)).choices) == 1
    assert admit_again(queue, Routing((COLON, skin)).choices) == 0
    assert queue.counts() == {"waiting": 1, "cancelled": 1}
    mine = queue.claim("w")
    assert mine is not None
    assert (mine.asked.models, mine.asked.case["organ"]) == (("s@1",), "skin")


def test_an_image_that_is_withdrawn_no_longer_waits_for_a_model(queue: Queue) -> None:
    admit(queue, Routing((COLON,)).choices, arrival())
    queue.withdraw("RXX", "a", None)
    assert queue.counts() == {"cancelled": 1}


def test_a_job_without_a_model_is_not_run_again_by_hand(queue: Queue) -> None:
    (found,) = admit(queue, Routing((COLON,)).choices, arrival())
    queue.withdraw("RXX", "a", None)
    assert queue.again(found.job_id) is None


def test_models_come_from_rules_or_from_the_command_and_never_from_both_or_none() -> None:
    facts: Facts = {}
    assert [c.models for c in one_question(["a@1", "b@1"])(facts)] == [("a@1", "b@1")]
    for routing, models in ((None, []), (Path("routing.toml"), [Path("a@1")])):
        with pytest.raises(InputError):
            models_for(routing, models)
