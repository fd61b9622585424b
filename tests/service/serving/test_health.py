"""Health, readiness and figures, on both databases."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.delivery.conftest import FakeClock
from tests.delivery.prepared import prepared
from tests.service.conftest import asked
from wsi_ai.service import workers
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.jobs import Priority
from wsi_ai.service.queue import Answer, Queue
from wsi_ai.service.serving.figures import metrics
from wsi_ai.service.serving.health import Health


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with prepared(database, open_service_database) as opened:
        yield opened


def client(engine: Engine, clock: FakeClock, *folders: Path) -> TestClient:
    routes = Health(engine, clock, folders).routes()
    routes.append(Route("/metrics", lambda request: metrics(engine, clock, request)))
    return TestClient(Starlette(routes=routes))


def figures(found: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, " ".join(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(found)
        for sample in family.samples
    }


def test_ready_means_that_the_database_is_ours_and_there_is_room(
    engine: Engine, clock: FakeClock, tmp_path: Path
) -> None:
    workers.enter(engine, workers.Station("w1", "box", "cpu", "1"), clock())
    here = client(engine, clock, tmp_path)
    assert here.get("/healthz").text == "ok\n"
    ready = here.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["workers"][0]["gone"] is False
    clock.move(120)
    gone = here.get("/readyz")
    assert (gone.status_code, gone.json()["workers"][0]["gone"]) == (200, True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE wsi_ai_schema SET version = 99"))
    newer = here.get("/readyz")
    assert newer.status_code == 503
    assert "newer wsi_ai" in newer.json()["database"]
    assert here.get("/healthz").status_code == 200


def test_a_folder_that_is_gone_is_not_ready(
    engine: Engine, clock: FakeClock, tmp_path: Path
) -> None:
    ready = client(engine, clock, tmp_path / "none").get("/readyz")
    assert ready.status_code == 503
    assert "cannot be looked at" in ready.json()["disk"]


def test_the_figures_say_what_waits_runs_and_is_lost(engine: Engine, clock: FakeClock) -> None:
    queue = Queue(engine, clock, Random(1))
    queue.submit(asked("a", priority=Priority.URGENT))
    queue.submit(asked("b"))
    queue.submit(asked("c", priority=Priority.BATCH))
    mine = queue.claim("w")
    assert mine is not None
    clock.move(90)  # its worker died
    again = queue.claim("w")
    while again is None or again.job_id != mine.job_id:
        if again is not None:
            queue.give_back(again, 600.0, "another is wanted")
        clock.move(5)
        again = queue.claim("w")
    queue.done(again, Answer(level="standard", reason="seen", seconds={"read": 1.5}))
    workers.enter(engine, workers.Station("w1", "box", "cuda:0", "1"), clock())
    said = client(engine, clock).get("/metrics")
    found = figures(said.text)
    assert found["wsi_ai_jobs", "done urgent"] == 1
    assert found["wsi_ai_jobs", "routine waiting"] == 1
    assert found["wsi_ai_oldest_waiting_seconds", "batch"] >= 90
    assert found["wsi_ai_oldest_waiting_seconds", "urgent"] == 0
    assert found["wsi_ai_slide_seconds", "read"] == 1.5
    assert found["wsi_ai_attempts_lost", ""] == 1
    assert found["wsi_ai_worker_up", "box cuda:0"] == 1
    assert "S26-1" not in said.text
    assert ".svs" not in said.text


def test_without_its_database_it_says_so_and_no_figure(engine: Engine, clock: FakeClock) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE job"))
    assert client(engine, clock).get("/metrics").status_code == 503
