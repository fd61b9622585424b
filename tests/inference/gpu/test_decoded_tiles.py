"""Tiles that are decoded and cut on a device: the host's pixels, in order, without a race, on the
simulated device with the kernel built by g++."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference.gpu.cut_walks import (
    BATCH,
    STORED,
    StandInCodec,
    Trial,
    device,
    features,
    level,
    plan_for,
    ring_shape,
    unpacked,
    walks,
    wanted,
)
from tests.inference.gpu.host_kernel import needs_compiler
from tests.inference.gpu.ring_mutants import load
from tests.tiles.memory import memory_slide
from wsi_ai.errors import OutOfDeviceMemory
from wsi_ai.inference.gpu import decoded_tiles, ring
from wsi_ai.inference.gpu.cutting import Form, levels
from wsi_ai.inference.gpu.decoded_tiles import PoolTooLarge
from wsi_ai.inference.gpu.slots import needs_of
from wsi_ai.inference.scoring import prepare, scale_and_shift
from wsi_ai.testing.stand_ins import MEAN_CARD
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tiles.reading.host import placement
from wsi_ai.tiles.reading.schedule import StoredGrid

pytestmark = pytest.mark.usefixtures("compiler")
WALKS = list(walks())
TILE_BYTES = STORED.width * STORED.height * 3


def tight(stored: Any, plan: Any) -> int:
    """As many bytes as the largest batch needs."""
    grid = StoredGrid(stored.size, STORED)
    return needs_of(grid, placement(plan, 0, (0, 0)), BATCH).most_at_once * TILE_BYTES


@pytest.fixture(scope="module")
def compiler() -> None:
    needs_compiler()


@pytest.mark.parametrize("walk", WALKS, ids=[name for name, *_ in WALKS])
@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_schedule_gives_the_hosts_pixels(walk: Any, seed: int, *, threads: bool) -> None:
    _, stored, plan = walk
    assert Trial(stored, plan, seed, threads).problems() == []


RING = Path(ring.__file__).read_text("utf-8")
TILES = Path(decoded_tiles.__file__).read_text("utf-8")
DRAW = "        self.device.launch(cut.kernel, upload, cut.reads, [slot.device])\n"
DRAWN = "        cut.drawn.record(upload)\n"
READY = "        table.ready.record(self._stream)\n"
UPLOAD = "        self._device.copy_async(table.device, table.pinned, self._stream)\n"
UPLOADED = "        table.uploaded.record(self._stream)\n"
SYNCHRONISATION = {
    "the cut does not wait for the decoding": (RING, "        upload.wait(cut.ready)\n", ""),
    "the cut does not wait for its slot": (RING, "        upload.wait(slot.consumed)\n", ""),
    "drawn is not recorded": (RING, DRAWN, ""),
    "drawn is recorded before the cut": (RING, DRAW + DRAWN, DRAWN + DRAW),
    "the network does not wait for the cut": (RING, "        compute.wait(slot.uploaded)\n", ""),
    "decoding does not wait for the last cuts of its slots": (
        TILES,
        "            self._stream.wait(self._tables[reader % _TABLES].drawn)\n",
        "            pass\n",
    ),
    "a table is overwritten on the host while it is uploaded": (
        TILES,
        "        table.uploaded.synchronize()\n",
        "",
    ),
    "a table is overwritten on the device while it is read": (
        TILES,
        "        self._stream.wait(table.drawn)  # and so for all batches before that one\n",
        "",
    ),
    "ready is recorded before the table is there": (
        TILES,
        UPLOAD + UPLOADED + READY,
        READY + UPLOAD + UPLOADED,
    ),
    "memory is freed while the last cut reads it": (
        TILES,
        "                table.drawn.synchronize()\n",
        "                pass\n",
    ),
}


@pytest.mark.parametrize("what", SYNCHRONISATION)
def test_each_synchronisation_of_source_and_ring_is_needed(what: str) -> None:
    source, old, new = SYNCHRONISATION[what]
    assert old in source
    broken = load(source.replace(old, new), what)
    given = {"ring": broken.Ring} if source is RING else {"tiles": broken.DeviceTiles}
    found = [
        Trial(stored, plan, seed, **given, pool_bytes=tight(stored, plan)).problems()
        for _, stored, plan in WALKS
        for seed in range(3)
    ]
    assert any(found)


def test_a_slot_is_not_given_away_while_who_read_it_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from wsi_ai.inference.gpu import slots

    monkeypatch.setattr(slots.Taken, "readers", lambda taken: [])
    _, stored, plan = WALKS[0]
    trials = [Trial(stored, plan, n, pool_bytes=tight(stored, plan)) for n in range(3)]
    assert any(trial.problems() for trial in trials)


@pytest.mark.parametrize("planes", [False, True])
def test_the_network_gets_its_own_input_by_that_one_launch(*, planes: bool) -> None:
    spec = replace(MEAN_CARD.input, dtype="float32", mean=(0.5, 0.4, 0.6), std=(0.2, 0.3, 0.25))
    card = replace(MEAN_CARD, input=spec, tile=replace(MEAN_CARD.tile, size_px=16))
    form = Form("float32", planes, levels(*scale_and_shift(card), "float32"))
    stored = level()
    plan = plan_for(stored)
    _, got, _ = Trial(stored, plan, form=form).run()
    prepared = prepare(wanted(stored, plan), card)
    right = prepared if (spec.layout.value == "nchw") == planes else _turned(prepared)
    np.testing.assert_array_equal(got, right.reshape(len(plan), -1))


def _turned(tiles: Any) -> Any:
    planes_now = tiles.shape[1] == 3
    return np.ascontiguousarray(tiles.transpose((0, 2, 3, 1) if planes_now else (0, 3, 1, 2)))


def test_tiles_over_what_cannot_be_decoded_are_left_out_and_no_other() -> None:
    stored = level(damaged=frozenset({(2, 1), (4, 4)}), unscanned=frozenset({(0, 3)}))
    plan = plan_for(stored)
    sim, got, _ = Trial(stored, plan).run()
    host = [b.index for b in HostTiles(BATCH, 1)(memory_slide(_raw(stored)), plan, 0)]
    assert np.flatnonzero(~np.isnan(got).any(axis=1)).tolist() == np.concatenate(host).tolist()
    kept = np.concatenate(host)
    right = wanted(stored, plan).reshape(len(plan), -1)
    np.testing.assert_array_equal(got[kept], right[kept].astype(np.float32))
    assert sim.problems() == sim.faults == []


def _raw(stored: Any) -> Any:
    from wsi_ai.core.values import Codec, Encoding

    again = level(damaged=stored.damaged, unscanned=stored.unscanned)
    again.encoding = Encoding(Codec.RAW, STORED)
    return again


def test_what_the_device_declines_the_host_decodes_into_the_same_pool() -> None:
    stored = level()
    plan = plan_for(stored)
    some = frozenset(stored.encoded(col, row) for col in (0, 3, 5) for row in (1, 2, 6))
    for declined in (some, _all(stored)):
        sim, got, codec = Trial(stored, plan).run(lambda sim, d=declined: StandInCodec(sim, d))
        right = wanted(stored, plan).reshape(len(plan), -1)
        np.testing.assert_array_equal(got, right.astype(np.float32))
        assert sim.problems() == sim.faults == []
        assert codec.decoded == 49 - len(declined)


def _all(stored: Any) -> frozenset[bytes]:
    return frozenset(stored.encoded(col, row) for col in range(7) for row in range(7))


def test_a_tile_that_neither_can_decode_is_left_out_and_the_rest_of_its_batch_is_not() -> None:
    stored = level()
    stored.pixels[20:22, 24:48] = np.resize([1, 2, 3, 4], 2 * 24 * 3).reshape(2, 24, 3)
    plan = plan_for(stored)
    broken = stored.encoded(1, 1)
    _, got, _ = Trial(stored, plan).run(lambda sim: StandInCodec(sim, frozenset({broken})))
    lost = np.isnan(got).all(axis=1)
    assert 0 < lost.sum() < len(plan) // 4
    assert not np.isnan(got[~lost]).any()


class RunsOut(StandInCodec):
    def __call__(self, encoded: Sequence[bytes], into: Any, stream: Any) -> list[bool]:
        if len(self.batches) == 3:
            self.batches.append(0)
            raise OutOfDeviceMemory("decoding: out of memory on the device")
        return super().__call__(encoded, into, stream)


def test_where_memory_runs_out_while_decoding_that_batch_is_the_hosts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = level()
    plan = plan_for(stored)
    sim, got, _ = Trial(stored, plan).run(RunsOut)
    right = wanted(stored, plan).reshape(len(plan), -1)
    np.testing.assert_array_equal(got, right.astype(np.float32))
    assert "stored tiles are decoded on the processor: decoding: out of memory" in caplog.text
    assert sim.problems() == sim.faults == []


def test_a_plan_that_needs_more_at_once_than_the_pool_holds_is_refused_before_a_batch() -> None:
    stored = level()
    with pytest.raises(PoolTooLarge, match="MiB of stored tiles at once"):
        Trial(stored, plan_for(stored), pool_bytes=3 * TILE_BYTES).run()


def test_each_stored_tile_is_decoded_once_where_the_pool_has_room() -> None:
    stored = level()
    _, _, codec = Trial(stored, plan_for(stored)).run()
    assert codec.decoded == 7 * 7


def test_in_a_pool_with_less_room_the_pixels_are_the_same_and_some_are_decoded_again() -> None:
    stored = level()
    trial = Trial(stored, plan_for(stored), pool_bytes=12 * TILE_BYTES)
    assert trial.problems() == []
    assert trial.run()[2].decoded > 7 * 7


def test_batches_say_from_when_to_when_they_were_read() -> None:
    stored, sim = level(), device()
    tiles = decoded_tiles.DeviceTiles(sim, unpacked, Form(), BATCH, 2)
    walk = tiles.batches(stored, plan_for(stored), 0, StandInCodec(sim))
    batch = next(walk)
    assert batch.read is not None
    assert batch.read[0] < batch.read[1]
    with pytest.raises(BufferError, match="yet to be drawn"):
        np.from_dlpack(batch.pixels)
    walk.close()


@pytest.mark.parametrize("walk", WALKS, ids=[name for name, *_ in WALKS])
def test_a_batch_is_cut_by_one_launch_whatever_it_reads(walk: Any) -> None:
    _, stored, plan = walk
    sim = device()
    launched, module = list[str](), sim.module

    def counted(text: str, name: str, options: Any) -> Any:
        run = module(text, name, options)
        return lambda *args: (launched.append(name), run(*args))

    sim.module = counted  # type: ignore[method-assign]
    tiles = decoded_tiles.DeviceTiles(sim, unpacked, Form(), BATCH, 2)
    batches = tiles.batches(stored, plan, 0, StandInCodec(sim))
    list(ring.Ring(sim, features, ring_shape(16, Form())).predict(batches))
    assert launched == ["cut"] * -(-len(plan) // BATCH)
