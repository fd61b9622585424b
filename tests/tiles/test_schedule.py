"""How many batches have to be open so that nothing has to wait for a later one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.core.geometry import Size
from wsi_ai.tiles.reading.schedule import Placement, Room, StoredGrid, reach, schedule

GRID = StoredGrid(Size(500, 400), Size(64, 48))


@given(
    corners=st.lists(st.tuples(st.integers(-99, 520), st.integers(-99, 420)), min_size=1),
    side=st.integers(1, 150),
    batch=st.integers(1, 7),
)
def test_with_so_many_batches_open_each_stored_tile_is_one_job_and_with_fewer_not(
    corners: list[tuple[int, int]], side: int, batch: int
) -> None:
    x, y = np.array(corners).T
    placement = Placement(x, y, Size(side, side))
    needed = reach(GRID, placement, batch)
    jobs = schedule(GRID, placement, Room(batch, needed, 0)).jobs
    assert len(jobs) == len({(job.col, job.row) for job in jobs})
    if needed > 1:
        assert len(schedule(GRID, placement, Room(batch, needed - 1, 0)).jobs) > len(jobs)


def test_no_more_batches_are_open_than_share_stored_tiles() -> None:
    """Rows of four tiles, two to a batch: the next row is two batches on."""
    y, x = np.divmod(np.arange(16), 4) * np.array([[100], [100]])
    assert reach(GRID, Placement(x, y, Size(100, 100)), 2) == 4
    assert reach(StoredGrid(GRID.size, Size(100, 100)), Placement(x, y, Size(100, 100)), 2) == 1
