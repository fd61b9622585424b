from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.slides.readers.jpeg_stream import SOI, SOS, TileStreams, prefix_for

PREFIX = prefix_for(None, 1)
SEGMENTS = [bytes([0xFF, marker, 0, 4]) + SOS for marker in (0xDB, 0xC0, 0xE0, 0xEE)]
SCAN = SOS + b"\x00\x03\x01\x2a"


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Of few kinds, so that beginnings recur; some cut short, where SOS stands inside a segment."""
    whole = SOI + b"".join(draw(st.lists(st.sampled_from([*SEGMENTS, SCAN]), max_size=3))) + SCAN
    return whole[: draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))]


@given(st.lists(streams(), min_size=2, max_size=6))
def test_a_tile_is_made_whole_alike_whatever_tiles_came_before(tiles: list[bytes]) -> None:
    shared = TileStreams(PREFIX)
    for tile in tiles:
        assert shared(tile) == TileStreams(PREFIX)(tile)


@given(st.lists(st.sampled_from(SEGMENTS), max_size=4))
def test_what_speaks_of_colours_is_left_out_and_all_else_kept(segments: list[bytes]) -> None:
    others = b"".join(segment for segment in segments if segment[1] not in (0xE0, 0xEE))
    made = TileStreams(PREFIX)(SOI + b"".join(segments) + SCAN + b"scan")
    assert made == PREFIX + others + SCAN + b"scan"
