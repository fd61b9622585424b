"""Slides read where they lie, in a store."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stand_in_runs import write_slide
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.contracts import LevelInBlocks, Slide
from wsi_ai.core.values import TilePlan
from wsi_ai.errors import SlideError, TileUnreadable, TransportError
from wsi_ai.slides.places import ReaderIo
from wsi_ai.slides.readers.tiff import reader as tiff
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.stores import ranges
from wsi_ai.slides.stores.ranges import coalesced
from wsi_ai.testing import ObjectStore, SlideContract, Stored
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles, ahead

AT = Path("s3://slides/a/one.tif")


def far(path: Path = AT) -> Slide:
    return open_slide(path, reader_io=ReaderIo.RANGES)


class TestInRanges(SlideContract):
    """What every slide promises."""

    @pytest.fixture(
        params=["cmu-1-small-region.svs", "tcga-cr-7395-01a-01-ts1.svs", "cmu1_generic_pyramid.tif"]
    )
    def slide(
        self, shared_data: Path, store: ObjectStore, request: pytest.FixtureRequest
    ) -> Iterator[Slide]:
        content = (shared_data / "slides" / request.param).read_bytes()
        store.put(f"slides/{request.param}", content)
        with far(Path(f"s3://slides/{request.param}")) as slide:
            yield slide


@pytest.fixture
def slide(tmp_path: Path, store: ObjectStore) -> Path:
    path = write_slide(tmp_path / "one.tif")
    store.put("slides/a/one.tif", path.read_bytes())
    return path


def every_tile(slide: Slide, batch: int = 16) -> tuple[TilePlan, dict[int, np.ndarray]]:
    spec = TileSpec(size_px=64, mpp=0.5, stride_px=64)
    plan = plan_tiles(slide.info, np.ones((8, 8), np.bool_), spec)
    found: dict[int, np.ndarray] = {}
    for one in HostTiles(batch, 2)(slide, plan, 0):
        found |= {int(n): np.array(p) for n, p in zip(one.index, one.pixels, strict=True)}
    return plan, found


def test_tiles_in_ranges_are_those_of_the_file(slide: Path, store: ObjectStore) -> None:
    with open_slide(slide) as here, far() as there:
        assert isinstance(there.encoded_level(0), LevelInBlocks)  # type: ignore[attr-defined]
        assert here.info == there.info
        plan, wanted = every_tile(here)
        _, found = every_tile(there)
    assert found.keys() == wanted.keys() == set(range(len(plan)))
    assert all(np.array_equal(found[n], wanted[n]) for n in wanted)


def test_a_block_of_tiles_is_asked_for_at_once(
    slide: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "BLOCK_TILES", 16)
    with far() as there:
        store.requests.clear()
        plan, _ = every_tile(there)
        blocks = len(plan) / 16
        assert store.counted("GET") <= 1.2 * blocks


def test_a_slide_whose_object_does_not_say_its_hash_is_copied(
    slide: Path, store: ObjectStore, tmp_path: Path
) -> None:
    store.objects["slides/a/one.tif"] = Stored(slide.read_bytes())
    with open_slide(slide) as here, far() as there:
        assert here.info == there.info
    assert list((tmp_path / "staging").rglob("one.tif"))


@pytest.mark.parametrize("asked", range(6))
def test_a_store_that_fails_while_a_slide_is_opened_is_no_damage(
    slide: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    """At whichever request."""
    monkeypatch.setattr(ranges, "_BLOCK_BYTES", 1 << 6)
    store.faults.refuse = [None] * asked + [403] * 50
    with pytest.raises(TransportError):
        far()


class _Fails:
    """A store that is gone."""

    def read(self, at: int, count: int) -> bytes:
        raise TransportError("gone")

    def read_many(self, spans: object) -> list[bytes]:
        raise TransportError("gone")


def test_what_a_library_takes_for_damage_is_still_the_store_s_failure() -> None:
    """Some catch whatever comes, note it, and go on with what they have."""
    file = ranges.BytesFile(_Fails(), 100)
    with contextlib.suppress(Exception):
        file.read(10)
    with pytest.raises(TransportError):
        file.check()


@pytest.mark.parametrize("wrong", [403, "ExpiredToken", 500])
def test_a_store_that_fails_loses_no_tile(
    slide: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, wrong: int | str
) -> None:
    """Coverage would fall, and nobody would know why: the slide ends with the reason."""
    monkeypatch.setenv("WSI_AI_STORE_SECONDS", "0.2")
    with far() as there:
        store.faults.always = wrong
        with pytest.raises(SlideError) as caught:
            every_tile(there)
        assert isinstance(caught.value, TransportError)
        with pytest.raises(TransportError):
            there.read(0, 0, 0, 64, 64)


def test_a_tile_that_is_damaged_is_still_only_that_tile(
    slide: Path, store: ObjectStore, tmp_path: Path
) -> None:
    content = bytearray(slide.read_bytes())
    with slide.open("rb") as file:
        table = tiff.read_pyramid(file, "").levels[0]
    at = table.offsets[9]
    content[at : at + 40] = bytes(40)
    (tmp_path / "damaged.tif").write_bytes(content)
    store.put("slides/a/one.tif", bytes(content))
    with open_slide(tmp_path / "damaged.tif") as here, far() as there:
        _, wanted = every_tile(here)
        plan, found = every_tile(there)
    assert found.keys() == wanted.keys()
    assert len(plan) - len(found) == 1


def test_bodies_that_break_off_lose_no_tile(slide: Path, store: ObjectStore) -> None:
    with open_slide(slide) as here, far() as there:
        _, wanted = every_tile(here)
        store.faults.cut = [50, 0, 50]
        _, found = every_tile(there)
    assert found.keys() == wanted.keys()


spans = st.lists(
    st.tuples(st.integers(0, 40 << 20), st.integers(1, 1 << 20)).map(lambda s: (s[0], s[0] + s[1])),
    max_size=40,
)


@given(wanted=spans)
def test_every_span_lies_in_one_request(wanted: list[tuple[int, int]]) -> None:
    groups = coalesced(wanted)
    assert groups == sorted(groups)
    for start, end in wanted:
        holding = [one for one in groups if one[0] <= start and end <= one[1]]
        assert holding
    assert len(groups) <= max(1, len(set(wanted)))


class _Level:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.alone = 0
        self.corner, self.size, self.encoding = (0, 0), None, None

    def encoded(self, col: int, row: int) -> bytes | None:
        self.alone += 1
        return self._one(col, row)

    def encoded_many(self, tiles: list[tuple[int, int]]) -> list[bytes | TileUnreadable | None]:
        return [self._one(*tile) if sum(tile) % 5 else TileUnreadable("no") for tile in tiles]

    def _one(self, col: int, row: int) -> bytes | None:
        return f"{col} {row}".encode() if (col + row) % 3 else None


@given(places=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=900))
def test_what_was_fetched_ahead_is_what_is_asked_for(places: list[tuple[int, int]]) -> None:
    """In any order, and however often."""
    level = _Level()
    reader = ahead.AheadLevel(level)  # type: ignore[arg-type]
    reader.announce(places)
    ask = _asker(reader)
    for col, row in [*places[3:], *places[:3]]:
        wanted = b"unreadable" if not (col + row) % 5 else level._one(col, row)
        assert ask(col, row) == wanted
    assert level.alone == 0
    reader.close()


def _asker(reader: ahead.AheadLevel) -> Callable[[int, int], bytes | None]:
    def ask(col: int, row: int) -> bytes | None:
        try:
            return reader.encoded(col, row)
        except TileUnreadable:
            return b"unreadable"

    return ask
