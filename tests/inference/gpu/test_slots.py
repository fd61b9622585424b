"""Which stored tile lies where, and for how long: laws over random plans and pools."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.core.geometry import Size
from wsi_ai.inference.gpu.cutting import NO_CELL, NOTHING, cells_under, cut_plan
from wsi_ai.inference.gpu.slots import Slots, needs_of, offsets, parts
from wsi_ai.tiles.reading.schedule import Placement, StoredGrid

GRID = StoredGrid(Size(200, 170), Size(24, 20))
PLACES = st.lists(
    st.tuples(st.integers(-30, 210), st.integers(-30, 180)), min_size=1, max_size=40
).map(lambda found: Placement(*np.array(found).T, Size(31, 27)))


def brute_force(part: Placement) -> set[int]:
    """Every stored tile of which a pixel is wanted."""
    found = set[int]()
    for x, y in zip(part.x.tolist(), part.y.tolist(), strict=True):
        for row in range(9):
            for col in range(9):
                across = max(x, col * 24, 0) < min(x + 31, (col + 1) * 24, 200)
                down = max(y, row * 20, 0) < min(y + 27, (row + 1) * 20, 170)
                if across and down:
                    found.add(row * 9 + col)
    return found


@given(place=PLACES, batch=st.integers(1, 9), spare=st.integers(0, 60))
def test_each_batch_finds_its_stored_tiles_in_slots_of_their_own(
    place: Placement, batch: int, spare: int
) -> None:
    needs = needs_of(GRID, place, batch)
    slots, held = Slots(needs.most_at_once + spare, needs), dict[int, int]()
    for number, part in parts(place, batch):
        taken = slots.take(number)
        held |= dict(zip(taken.slots.tolist(), taken.cells.tolist(), strict=True))
        wanted = np.array(sorted(brute_force(part)), np.int64)
        where = slots.of(wanted).tolist()
        assert len(set(where)) == len(where)
        assert [held[slot] for slot in where] == wanted.tolist()
        assert set(taken.cells.tolist()) <= set(wanted.tolist()), "nothing is decoded in vain"
        assert len(held) <= needs.most_at_once + spare


@given(place=PLACES, batch=st.integers(1, 9))
def test_with_room_for_all_each_stored_tile_is_decoded_once(place: Placement, batch: int) -> None:
    needs = needs_of(GRID, place, batch)
    slots = Slots(needs.level, needs)
    decoded = [cell for n, _ in parts(place, batch) for cell in slots.take(n).cells.tolist()]
    assert len(set(decoded)) == len(decoded)


@given(place=PLACES, batch=st.integers(1, 9), spare=st.integers(0, 20))
def test_who_read_a_slot_last_is_known_when_it_is_given_away(
    place: Placement, batch: int, spare: int
) -> None:
    needs = needs_of(GRID, place, batch)
    slots, last = Slots(needs.most_at_once + spare, needs), dict[int, int]()
    for number, part in parts(place, batch):
        taken = slots.take(number)
        before = [last.get(slot, -1) for slot in taken.slots.tolist()]
        assert taken.used_in.tolist() == before
        assert taken.readers() == sorted(set(before) - {-1})
        cells = np.array(sorted(brute_force(part)), np.int64)
        last |= dict.fromkeys(slots.of(cells).tolist(), number)


@given(place=PLACES)
def test_offsets_name_the_slot_or_nothing(place: Placement) -> None:
    plan, needs = cut_plan(GRID, place.size, 16), needs_of(GRID, place, len(place))
    slots = Slots(needs.most_at_once, needs)
    slots.take(0)
    blank = np.arange(needs.level) % 3 == 0
    under = cells_under(GRID, place)
    at = offsets(plan, under, slots, blank)
    for cell, found in zip(under.ravel().tolist(), at.ravel().tolist(), strict=True):
        white = cell == NO_CELL or bool(blank[cell])
        expected: Any = NOTHING if white else int(slots.of(np.array([cell]))[0]) * plan.tile_bytes
        assert found == expected


def test_a_pool_too_small_for_a_batch_is_a_mistake_that_shows() -> None:
    place = Placement(np.array([5]), np.array([5]), Size(31, 27))
    needs = needs_of(GRID, place, 1)
    with pytest.raises(ValueError, match="no room"):
        Slots(needs.most_at_once - 1, needs).take(0)
