"""What is taken as a note, and what is not."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.rooms.parts import new_id, point, polygon
from wsi_ai.service.rooms.notes import Op
from wsi_ai.service.rooms.shapes import MOST_BYTES, check_body

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10]]


@pytest.mark.parametrize(
    "body",
    [
        point("hot spot\nsecond line, é, 日本", -3.5, 70_000),
        polygon(SQUARE, kind="rectangle"),
        polygon(SQUARE[:3]),
        {"kind": "ruler", "text": "",
         "geometry": {"type": "LineString", "coordinates": [[0, 0], [3, 4]]}},
    ],
)  # fmt: skip
def test_each_kind_is_taken(body: Any) -> None:
    check_body(body)


@pytest.mark.parametrize(
    "body",
    [
        [], "a", {}, {"kind": "point"}, point("a") | {"author": "x"}, point(3),  # type: ignore[arg-type]
        point("nul \0"), point("half \ud800"), point("turned \u202e"), point("x" * 4001),
        point("", float("nan"), 0), point("", float("inf"), 0), point("", True, 0),
        point("", 1e9, 0), point() | {"kind": "circle"}, point() | {"kind": ["point"]},
        point() | {"geometry": {"type": "Point", "coordinates": [1, 2, 3]}},
        point() | {"geometry": {"type": "Point", "coordinates": {"0": 1}}},
        point() | {"geometry": {"type": "Polygon", "coordinates": []}},
        polygon([[0, 0], [1, 1]]), polygon([[0, 0]]),
        polygon(SQUARE[:3], kind="rectangle"),
        polygon([[0, 0], [10, 1], [9, 10], [0, 10]], kind="rectangle"),
        {"kind": "polygon", "text": "", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}},
        {"kind": "ruler", "text": "",
         "geometry": {"type": "LineString", "coordinates": SQUARE}},
        polygon([[n, n * n % 7] for n in range(2001)]),
    ],
)  # fmt: skip
def test_anything_else_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match=r"note|place|point|outline|polygon|rectangle|ruler"):
        check_body(body)


def test_a_note_of_more_than_64_kb_is_refused() -> None:
    ring = [[n + 0.123456789012, 16_000_000.123456789 - n] for n in range(1999)]
    with pytest.raises(ValueError, match="too large"):
        check_body(polygon(ring, "x" * 3000))
    assert MOST_BYTES == 65_536


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["kind", "geometry", "text", "type", "coordinates"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_no_message_whatever_is_an_error_of_ours(body: Any, base: Any) -> None:
    for fields in (body, {"op_id": new_id(), "note_id": new_id(), "base": base, "body": body}):
        with contextlib.suppress(ValueError):
            Op.of(fields)
