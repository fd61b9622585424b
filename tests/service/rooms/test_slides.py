"""Which slides can be opened, and by whom."""

from pathlib import Path
from random import Random

from sqlalchemy import delete

from tests.delivery.conftest import FakeClock
from tests.service.conftest import asked
from tests.service.rooms.parts import AMY, BEN, fresh_room, judged, op
from tests.service.worklist.parts import flag, name_of
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.delivery.receiver.incoming import Event
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.jobs import job
from wsi_ai.service.queue import Answer, Queue
from wsi_ai.service.rooms import notes
from wsi_ai.service.rooms.slides import SlidesOf, purge_notes


def test_a_slide_whose_flag_came_early_can_be_opened_while_it_is_judged(
    database: str, tmp_path: Path, clock: FakeClock
) -> None:
    engine = open_service_database(database)
    queue, inbox = Queue(engine, clock, Random(1)), Inbox(engine)
    early = flag(slide="S26-1-A1")
    sid = early["slide"]["image_sha256"][:32]
    path = tmp_path / "a.svs"
    path.write_bytes(b"a slide")
    case = {"trust": "RXX", "accession": "S26-1", "slide_id": "S26-1-A1"}
    other = {**case, "accession": "S26-2"}
    queue.submit(asked("b", case=other))
    queue.submit(asked("a", case=case, slide_uri=path.as_uri()))
    jobs = [queue.claim("w"), queue.claim("w2")]
    assert SlidesOf(engine).seen_by(AMY, sid) is None
    inbox.take(Event(name_of(early), early), clock())
    found = SlidesOf(engine).seen_by(AMY, sid)
    assert found is not None
    assert (found.entry.path, found.entry.results) == (path, ())
    assert found.room.slide == early["slide"]["image_sha256"]
    assert SlidesOf(engine).seen_by(BEN, sid) is None
    for mine in filter(None, jobs):
        queue.done(mine, Answer(level="expedite", reason="seen"))
    assert SlidesOf(engine).seen_by(AMY, sid) is None
    engine.dispose()


def test_notes_go_with_the_last_job_of_their_slide(database: str, tmp_path: Path) -> None:
    engine = open_service_database(database)
    kept, gone = fresh_room(), fresh_room()
    for name, room in (("kept", kept), ("gone", gone)):
        judged(engine, tmp_path, room, name=name)
        notes.append(engine, room, op(), AMY, 1.0)
    assert purge_notes(engine) == 0
    with engine.begin() as connection:
        connection.execute(delete(job).where(job.c.result_uri.contains("gone-")))
    assert purge_notes(engine) == 1
    assert [notes.newest(engine, room) for room in (kept, gone)] == [1, 0]
    engine.dispose()
