"""Several jobs on one line of this machine: each has its own flag, case and end."""

import json
import os
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.models_for_tests import red_network, write_model
from tests.stand_in_runs import write_slide
from wsi_ai.app import Outcome, RunOptions
from wsi_ai.core.flags import Level
from wsi_ai.delivery.posting import open_posting
from wsi_ai.errors import OutputError, Stopped
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.job_post import JobPost, SilentPost
from wsi_ai.service.jobs import Asked, Job, JobState
from wsi_ai.service.local_lines import LocalLines
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.queue import Queue
from wsi_ai.service.work import Pace, SiteFault, Worker

PACE = Pace(idle_s=0.01, beat_s=0.05, ready_s=60, fault_s=60, insist_s=0.05, linger_s=0.05)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [
        str(write_model(folder / name, red_network(), name=name, mpp=0.5)) for name in ("a", "b")
    ]


def question(path: Path, models: list[str], **more: object) -> Asked:
    case = {"trust": "RXX", "accession": f"S-{path.stem}", "slide_id": path.stem}
    told = {"trust": "RXX", "slide_uri": f"file://{path}", "models": tuple(models),
            "submitted_by": "tests", "case": case}  # fmt: skip
    return Asked(**{**told, **more})  # type: ignore[arg-type]


def test_jobs_of_one_line_have_each_their_own_flag_and_a_silent_one_has_none(
    tmp_path: Path, models: list[str]
) -> None:
    for name in ("out", "arrived", "scans"):
        (tmp_path / name).mkdir()
    slides = [write_slide(tmp_path / "scans" / f"s{n}.tif", 256, seed=n) for n in range(4)]
    for path in slides:
        os.utime(path, (1, 1))
    with open_posting([f"RXX=file://{tmp_path}/arrived"], str(tmp_path / "o.db")) as posting:
        make_service_tables(posting.relay.outbox.engine)
        queue = Queue(posting.relay.outbox.engine, time.time, Random(1))
        for path in slides[:2]:
            queue.submit(question(path, models))
        queue.submit(question(slides[2], models, silent=True))
        queue.submit(question(tmp_path / "scans" / "gone.tif", models))
        queue.submit(question(slides[3], models, mpp=0.5))
        runs = LocalRuns(tmp_path / "out", queue, posting, RunOptions(device="cpu"), quiet_s=0)
        lines = LocalLines(runs)
        worker = Worker(queue, runs, threading.Event(), PACE, lines=lines)
        while worker.step():
            pass
        told = [(row.slide_uri[-8:], row.state, row.reason) for row in queue.lines(list(JobState))]
        assert queue.counts() == {"done": 4, "waiting": 1}, told  # whose file is not there
        said = {
            (flag["case"]["accession"]["value"], flag["model"]["name"])
            for flag in posting.relay.outbox.flags()
        }
    assert said == {(f"S-s{n}", model) for n in (0, 1, 3) for model in ("a", "b")}
    records = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("runs/*.json")]
    assert sum(len(record["slides"]) for record in records) == 8
    assert not list((tmp_path / "out").rglob("*kept*"))


class Away:
    """A posting whose database is away; see ``delivery.posting.Posting``."""

    def standing(self, flag_id: str) -> None:
        raise OutputError("the outbox refused: it is away")

    def begun(self) -> None: ...


def outcome(model: str) -> Outcome:
    seen = {"slide": Path("a.svs"), "reason": "seen", "folder": None, "fresh": True}
    return Outcome(**seen, model=model, level=Level.STANDARD)  # type: ignore[arg-type]


def a_job(queue: Queue, models: list[str]) -> Job:
    queue.submit(question(Path("/scans/a.svs"), models))
    mine = queue.claim("w")
    assert mine is not None
    return mine


def test_a_job_is_not_done_before_every_model_has_answered(queue: Queue) -> None:
    """One that was stopped between two of them goes back."""
    runs = LocalRuns(Path("out"), queue, Away())  # type: ignore[arg-type]
    mine = a_job(queue, ["a", "b"])
    with pytest.raises(Stopped):
        runs.answer(mine, [outcome("a")], SilentPost())
    assert runs.answer(mine, [outcome("a"), outcome("b")], SilentPost()).level == "standard"


def test_a_job_is_not_done_where_it_could_not_be_asked_what_stands(queue: Queue) -> None:
    """Else its flag might be nowhere, and nobody would look for it."""
    posting: Any = Away()
    runs = LocalRuns(Path("out"), queue, posting)
    mine = a_job(queue, ["a"])
    post = JobPost(posting, queue, mine)
    with pytest.raises(OutputError):
        post.standing("f")
    with pytest.raises(SiteFault):
        runs.answer(mine, [outcome("a")], post)
