"""What changed is kept for as long as somebody may ask for it, and no longer."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from tests.delivery.conftest import FakeClock
from wsi_ai.core.timing import DAY_S
from wsi_ai.delivery.receiver.tables import change
from wsi_ai.service import changes
from wsi_ai.service.access.access_door import AccessDoor
from wsi_ai.service.access.site import Site
from wsi_ai.service.changes import Change
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.live.tail import Tail
from wsi_ai.service.queue import Queue
from wsi_ai.service.serving.app import ServiceParts, service_app
from wsi_ai.service.viewer.cache import TileCache


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    opened = open_service_database(database)
    yield opened
    opened.dispose()


def written(engine: Engine, *times: float, skip: int = 0) -> None:
    """The next changes, of these times; as if so many before them were forgotten."""
    first = changes.newest(engine) + 1 + skip
    rows = [{"seq": first + n, "what": "job", "id": "j", "at": at} for n, at in enumerate(times)]
    with engine.begin() as connection:
        connection.execute(insert(change), rows)


def kept(engine: Engine) -> Sequence[int]:
    with engine.connect() as connection:
        return connection.scalars(select(change.c.seq).order_by(change.c.seq)).all()


def test_the_oldest_go_as_far_as_they_are_old_and_never_one_from_the_middle(engine: Engine) -> None:
    written(engine, 1, 2, 9, 3, 9)  # a clock that was set back
    assert not changes.forget(engine, 5)
    assert kept(engine) == [3, 4, 5]
    assert not changes.forget(engine, 5)
    assert kept(engine) == [3, 4, 5]


def test_the_last_one_stays_so_that_no_number_comes_twice(engine: Engine) -> None:
    written(engine, 1, 2, 3)
    changes.forget(engine, 5)
    assert kept(engine) == [3]
    with engine.begin() as connection:
        assert changes.note(connection, "job", "j", 6.0) == 4


def test_a_great_many_go_in_turns(engine: Engine) -> None:
    written(engine, *[1.0] * 4500)
    turns = 1
    while changes.forget(engine, 5):
        turns += 1
    assert (turns, kept(engine)) == (3, [4500])


def for_a_moment(way: Any, until: Callable[[], bool]) -> None:
    async def run() -> None:
        task = asyncio.ensure_future(way)
        for _ in range(500):
            if until():
                break
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_a_running_service_forgets_what_is_older_than_two_days(
    engine: Engine, clock: FakeClock, tmp_path: Path
) -> None:
    now = clock.now
    written(engine, now - 3 * DAY_S, now - 3 * DAY_S, now - DAY_S, now)
    door = AccessDoor(engine, clock, Site("https://wsi.example"))
    queue, cache = Queue(engine, clock, Random(1)), TileCache(tmp_path)
    app = service_app(ServiceParts(engine=engine, clock=clock, door=door, queue=queue, cache=cache))

    async def run() -> None:
        async with app.router.lifespan_context(app):
            await asyncio.sleep(60)

    for_a_moment(run(), lambda: kept(engine) == [3, 4])
    assert kept(engine) == [3, 4]


class Pages:
    def __init__(self) -> None:
        self.told: list[int] = []
        self.asked_anew = 0

    async def changed(self, found: Sequence[Change]) -> None:
        self.told += [one.seq for one in found]

    def missed(self) -> None:
        self.asked_anew += 1


def followed(engine: Engine, skip: int) -> Pages:
    """Changes are written until it is at them, and then one behind that gap."""
    pages = Pages()
    ends = list[int]()

    def over() -> bool:
        if ends:
            return ends[0] in pages.told
        written(engine, 1.0, skip=skip if pages.told else 0)
        if pages.told:
            ends.append(changes.newest(engine))
        return False

    for_a_moment(Tail(engine, pages, every_s=0.01).run(), over)
    assert ends[0] in pages.told
    return pages


def test_pages_ask_anew_where_changes_were_forgotten_before_they_were_told(engine: Engine) -> None:
    assert followed(engine, skip=0).asked_anew == 0
    assert followed(engine, skip=3).asked_anew == 1
