"""Which way tiles take to a device: decoded there if its decoder proves itself and is the faster
one, else from memory that it shares.  On the simulated device."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import imagecodecs
import numpy as np
import pytest
import simplejpeg
from PIL import ImageCms

from tests.inference.gpu.cut_walks import device as simulated
from tests.inference.gpu.host_kernel import needs_compiler
from tests.inference.gpu.test_runtimes import mean_kernel
from tests.tiles.memory import MemoryLevel, memory_slide
from wsi_ai.core.cards import Colour, ReadLike, Resampling, TileSpec
from wsi_ai.core.contracts import RuntimeWithSource, Slide
from wsi_ai.core.geometry import Size
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import Codec, Encoding, TilePlan
from wsi_ai.errors import NoDevice, OutOfDeviceMemory, TileUnreadable
from wsi_ai.inference.gpu.cutting import Form
from wsi_ai.inference.gpu.proof import Kind, Trial, Unproven, kind_of, prove, samples
from wsi_ai.inference.gpu.ring import Ring
from wsi_ai.inference.gpu.runtime import RingRuntime, ring_shape
from wsi_ai.inference.gpu.source import CudaTiles, proven_kinds, source_for, suited_level
from wsi_ai.run.assembly import source_for as assembled
from wsi_ai.slides.codecs import decoder
from wsi_ai.testing import MeanRuntime, PaintedSlide
from wsi_ai.testing.simulated_device import SimulatedDevice
from wsi_ai.testing.stand_ins import MEAN_CARD
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles

STORED = Size(80, 96)
SPEC = TileSpec(64, 0.5, 64)
COLOURS = ("SRGB", "SYCC")
Change = Callable[[Any], Any]


@dataclass
class JpegLevel(MemoryLevel):
    """Compressed when asked for."""

    kind: Kind = Kind.JPEG
    broken: frozenset[tuple[int, int]] = frozenset()
    small: frozenset[tuple[int, int]] = frozenset()
    """Tiles of another size than the level says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        codec = Codec.JPEG2000 if self.kind is Kind.JPEG_2000 else Codec.JPEG
        self.encoding = Encoding(codec, self.tile)

    def encoded(self, col: int, row: int) -> bytes | None:
        raw = super().encoded(col, row)
        if raw is None:
            return None
        pixels = np.frombuffer(raw, np.uint8).reshape(self.tile.height, self.tile.width, 3)
        whole = pixels[:-8] if (col, row) in self.small else pixels
        data = self.compressed(np.ascontiguousarray(whole))
        return data[: len(data) // 2] if (col, row) in self.broken else data

    def compressed(self, pixels: np.ndarray) -> bytes:
        if self.kind is Kind.JPEG_2000:
            return bytes(imagecodecs.jpeg2k_encode(pixels, level=0))
        if self.kind is Kind.RGB_JPEG:
            return bytes(
                imagecodecs.jpeg8_encode(pixels, level=90, colorspace="RGB", outcolorspace="RGB")
            )
        return simplejpeg.encode_jpeg(pixels, quality=90)


def jpeg_level(**kwargs: Any) -> JpegLevel:
    seeds = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return JpegLevel(np.ascontiguousarray(seeds.repeat(10, 0).repeat(10, 1)), STORED, **kwargs)


def own(pixels: Any) -> Any:
    return pixels


@dataclass
class HostsCodec:
    """The host's decoder in the place of the device's; ``change`` is what it does wrong."""

    device: SimulatedDevice
    tile: Size
    colours: str
    change: Change = own
    refuses: Callable[[Kind | None, str], bool] = lambda kind, colours: False
    shows_damage: bool = False
    tiles: list[int] = field(default_factory=list)

    def __call__(self, encoded: Sequence[bytes], into: Sequence[Any], stream: Any) -> list[bool]:
        self.tiles.append(len(encoded))
        found = [self._shown(data) for data in encoded]
        for pixels, row in zip(found, into, strict=True):
            if pixels is not None:
                self.device.launch(partial(_write, pixels), stream, [], [row])
        return [pixels is not None for pixels in found]

    def _shown(self, data: bytes) -> Any:
        codec = Codec.JPEG if data[:2] == b"\xff\xd8" else Codec.JPEG2000
        encoding = Encoding(codec, self.tile)
        if self.refuses(kind_of(encoding, data), self.colours):
            return None
        pixels = np.full((self.tile.height, self.tile.width, 3), 128, np.uint8)
        try:
            decoder(encoding)(data, pixels)
        except TileUnreadable:
            return pixels if self.shows_damage else None
        return self.change(pixels)


def _write(pixels: Any, out: Any) -> None:
    out[...] = pixels.reshape(-1)


def opener(device: SimulatedDevice, made: list[HostsCodec] | None = None, **kwargs: Any) -> Any:
    def open_codec(tile: Size, colours: str) -> HostsCodec:
        codec = HostsCodec(device, tile, colours, **kwargs)
        if made is not None:
            made.append(codec)
        return codec

    return open_codec


def one_off(pixels: Any) -> Any:
    return np.clip(pixels.astype(np.int16) + np.array([1, 0, 0]), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [own, one_off])
@pytest.mark.parametrize("kind", list(Kind))
def test_a_decoder_within_what_a_codec_leaves_open_is_taken(kind: Kind, change: Change) -> None:
    device = simulated_alone()
    codec = HostsCodec(device, Size(256, 256), "SRGB", change)
    prove(Trial(device, codec), kind)
    assert len(codec.tiles) == 1, "one by one would fix a hardware decoder's batch at one"
    assert codec.tiles[0] > 1
    assert device.problems() == device.faults == []


def simulated_alone() -> SimulatedDevice:
    return SimulatedDevice(3)


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ({"change": lambda p: p[..., ::-1]}, "changes JPEG 444 by"),
        ({"change": lambda p: np.roll(p, 1, 1)}, "changes JPEG 444 by"),
        ({"change": lambda p: p // 8 * 8}, "changes JPEG 444 by"),
        ({"refuses": lambda kind, colours: True}, "declines JPEG 444"),
        ({"shows_damage": True}, "shows a damaged JPEG 444 tile, which the host's refuses"),
    ],
)
def test_a_decoder_that_changes_pixels_or_shows_damage_is_not_taken(
    kwargs: dict[str, Any], told: str
) -> None:
    device = simulated_alone()
    with pytest.raises(Unproven, match=told):
        prove(Trial(device, HostsCodec(device, Size(256, 256), "SRGB", **kwargs)), Kind.JPEG)


def test_each_codec_is_proven_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    device = simulated_alone()
    without = opener(device, refuses=lambda kind, colours: kind is Kind.JPEG_2000)
    assert proven_kinds(device, without, COLOURS) == {Kind.JPEG: "SRGB", Kind.RGB_JPEG: "SRGB"}
    assert "JPEG 2000 tiles are decoded on the processor" in caplog.text


def test_rgb_jpeg_is_taken_in_whichever_way_leaves_its_colours_alone() -> None:
    device = simulated_alone()
    raw = opener(device, refuses=lambda k, c: k is Kind.RGB_JPEG and c == "SRGB")
    assert proven_kinds(device, raw, COLOURS)[Kind.RGB_JPEG] == "SYCC"


def test_the_kinds_of_jpeg_are_told_by_their_streams() -> None:
    for kind in Kind:
        for sample in samples(kind):
            assert kind_of(sample.encoding, sample.data) is kind
    assert kind_of(Encoding(Codec.JPEG, STORED), b"no jpeg") is None
    assert kind_of(Encoding(Codec.RAW, STORED), b"") is None


def planned(slide: Slide, spec: TileSpec = SPEC) -> TilePlan:
    return plan_tiles(slide.info, np.ones((4, 4), np.bool_), spec)


def ticking(*steps: float) -> Callable[[], float]:
    """A clock that the decoders' speeds are told by: device, then host."""
    times = iter([0.0, steps[0], 0.0, steps[1]] * 99)
    return lambda: next(times)


def on_device(
    device: Any, made: list[HostsCodec] | None = None, clock: Any = None, **kwargs: Any
) -> CudaTiles[Any]:
    needs_compiler()
    opened = opener(device, made, **kwargs)
    tiles = source_for(device, Form(), HostTiles(7, 2), opened, COLOURS, "sim")
    assert isinstance(tiles, CudaTiles)
    return replace(tiles, clock=clock or ticking(1e-6, 1.0))


def predicted(device: Any, tiles: Any, slide: Any, plan: TilePlan, start: int = 0) -> list[Any]:
    """By the ring: index, tiles as they were drawn, and what the first batch says."""
    said = list[str | None]()

    def noted() -> Iterator[Any]:
        for batch in tiles(slide, plan, start):
            said.append(batch.decoded_by)
            yield batch

    def seen(pixels: Any, outputs: Any) -> None:
        outputs[:] = pixels.reshape(len(pixels), -1)

    shape = replace(ring_shape(MEAN_CARD, 7), outputs=(7, 64 * 64 * 3))
    got = list(Ring(device, seen, shape).predict(noted()))
    return [np.concatenate([g.index for g in got]), np.concatenate([g.scores for g in got]), said]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_slide_is_decoded_on_the_device_to_the_hosts_pixels(kind: Kind) -> None:
    device, made = simulated(4), list[HostsCodec]()
    slide = memory_slide(jpeg_level(kind=kind))
    plan = planned(slide)
    tiles = on_device(device, made)
    proofs = len(made)
    index, scores, said = predicted(device, tiles, slide, plan, 7)
    host = [(b.index, np.array(b.pixels)) for b in HostTiles(7, 2)(slide, plan, 7)]
    assert index.tolist() == np.concatenate([i for i, _ in host]).tolist()
    wanted = np.concatenate([p for _, p in host]).reshape(len(index), -1)
    np.testing.assert_array_equal(scores, wanted.astype(np.float32))
    assert said[0] is not None
    assert said[0].startswith("the device: ")
    assert set(said[1:]) == {None}
    assert len(made) == proofs + 2, "one decoder is tried on the slide, another reads it"
    assert device.problems() == device.faults == []


def with_profile(slide: Any) -> Any:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    slide.info = replace(slide.info, icc_profile=profile)
    return slide


def of_encoding(encoding: Encoding) -> Any:
    level = jpeg_level()
    level.encoding = encoding
    return memory_slide(level)


@pytest.mark.parametrize(
    ("slide", "spec"),
    [
        (PaintedSlide(), SPEC),
        (memory_slide(MemoryLevel(np.zeros((200, 200, 3), np.uint8), STORED)), SPEC),
        (of_encoding(Encoding(Codec.JPEG, STORED, channels=1)), SPEC),
        (of_encoding(Encoding(Codec.JPEG2000, STORED, ycc=True)), SPEC),
        (with_profile(memory_slide(jpeg_level())), replace(SPEC, color=Colour.SRGB)),
        (memory_slide(jpeg_level()), replace(SPEC, parity=ReadLike.WSINFER)),
        (memory_slide(jpeg_level()), replace(SPEC, resampling=Resampling.DCT)),
    ],
    ids=["no stored tiles", "raw", "grey", "ycc", "colour profile", "as WSInfer", "dct"],
)
def test_what_the_device_would_show_otherwise_is_decoded_on_the_host(
    slide: Any, spec: TileSpec
) -> None:
    assert suited_level(slide, planned(slide, spec)) is None


def test_tiles_larger_than_the_host_reads_at_once_are_read_as_the_host_does() -> None:
    slide = memory_slide(jpeg_level())
    plan = replace(planned(slide), read_px=Size(1100, 64))
    assert suited_level(slide, plan) is None


def hosts_own(slide: Any, plan: TilePlan) -> Any:
    return np.concatenate([np.array(b.pixels) for b in HostTiles(7, 2)(slide, plan, 0)])


@pytest.mark.parametrize(
    ("clock", "kwargs", "told"),
    [
        (ticking(1.0, 1e-6), {}, "it would be slower: "),
        (None, {"change": one_off, "shows_damage": False}, None),
        (None, {"refuses": lambda k, c: k is Kind.JPEG}, "not proven for JPEG"),
    ],
)
def test_a_slide_goes_to_the_host_where_that_is_better_and_the_record_says_why(
    clock: Any, kwargs: dict[str, Any], told: str | None
) -> None:
    device = simulated(2)
    slide = memory_slide(jpeg_level())
    plan = planned(slide)
    _, scores, said = predicted(device, on_device(device, clock=clock, **kwargs), slide, plan)
    assert said[0] is not None
    assert said[0].startswith("the device: " if told is None else f"the processor: {_start(told)}")
    if told is not None:
        assert told in said[0]
        right = hosts_own(slide, plan).reshape(len(plan), -1)
        np.testing.assert_array_equal(scores, right.astype(np.float32))
    assert device.problems() == device.faults == []


def _start(told: str) -> str:
    return "" if told.startswith("not") else told


def changed_later(times: int) -> Change:
    """Right while it is proven, wrong on the slide."""
    calls = count()

    def change(pixels: Any) -> Any:
        return pixels if pixels.shape[0] == 256 or next(calls) > times else pixels[::-1]

    return change


def test_a_decoder_is_held_to_the_host_on_each_slides_own_first_tiles() -> None:
    device = simulated(2)
    slide = memory_slide(jpeg_level())
    plan = planned(slide)
    tiles = on_device(device, change=changed_later(1))
    _, scores, said = predicted(device, tiles, slide, plan)
    assert "changes a tile of this slide by" in said[0]
    right = hosts_own(slide, plan).reshape(len(plan), -1)
    np.testing.assert_array_equal(scores, right.astype(np.float32))


def test_a_slide_whose_pool_would_not_fit_goes_to_the_host() -> None:
    device = simulated(2)
    slide = memory_slide(jpeg_level())
    plan, tiles = planned(slide), on_device(device)
    small = replace(tiles, device=replace(tiles.device, pool_bytes=1 << 16))
    index, _, said = predicted(device, small, slide, plan)
    assert len(index) == len(plan)
    assert "MiB of stored tiles at once" in said[0]
    assert device.problems() == device.faults == []


class Full(SimulatedDevice):
    def alloc(self, shape: Sequence[int], dtype: Any) -> Any:
        if len(shape) == 2 and shape[0] > 15:
            raise OutOfDeviceMemory("allocating: out of memory on the device")
        return super().alloc(shape, dtype)


def test_a_slide_for_whose_pool_there_is_no_memory_goes_to_the_host() -> None:
    device = simulated(1, kind=Full)
    slide = memory_slide(jpeg_level())
    plan = planned(slide)
    index, _, said = predicted(device, on_device(device), slide, plan)
    assert len(index) == len(plan)
    assert said[0] == "the processor: allocating: out of memory on the device"
    assert device.problems() == device.faults == []


@pytest.mark.parametrize("fault", ["broken", "small", "damaged"])
def test_a_bad_stored_tile_in_the_middle_of_a_batch_takes_its_own_tiles_and_no_other(
    fault: str,
) -> None:
    device = simulated(6)
    slide = memory_slide(jpeg_level(**{fault: frozenset({(3, 2)})}))
    plan = planned(slide)
    index, scores, said = predicted(device, on_device(device), slide, plan)
    host = [(b.index, np.array(b.pixels)) for b in HostTiles(7, 2)(slide, plan, 0)]
    assert said[0].startswith("the device")
    assert index.tolist() == np.concatenate([i for i, _ in host]).tolist()
    assert 0 < len(plan) - len(index) < 6
    right = np.concatenate([p for _, p in host]).reshape(len(index), -1)
    np.testing.assert_array_equal(scores, right.astype(np.float32))
    assert device.problems() == device.faults == []


def test_the_record_has_what_the_first_batch_says(tmp_path: Any) -> None:
    from wsi_ai.run.pipeline import _timed

    device, clock = simulated(2), Stopwatch(0.0)
    slide = memory_slide(jpeg_level())
    walk: Any = on_device(device)(slide, planned(slide), 0)
    next(timed := _timed(walk, clock))
    timed.close()
    walk.close()
    assert clock.decoded_by is not None
    assert clock.decoded_by.startswith("the device: ")
    assert json.dumps(clock.decoded_by)


def test_the_sources_description_is_the_same_for_every_slide_and_run() -> None:
    one, other = (on_device(simulated(seed)).description for seed in (1, 2))
    assert one == other
    assert one == "sim for JPEG and RGB JPEG and JPEG 2000 where it is faster, else the processor"


def test_without_a_proven_codec_the_host_decodes_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def missing(tile: Size, colours: str) -> Any:
        raise NoDevice("nvImageCodec is not installed: pip install 'wsi-ai[cuda]'")

    host = HostTiles(7, 2)
    assert source_for(simulated_alone(), Form(), host, missing, COLOURS, "none") is host
    assert "tiles are decoded on the processor: nvImageCodec is not installed" in caplog.text


class Staging(SimulatedDevice):
    """Counts what is copied into pinned memory before it is uploaded."""

    staged = 0

    def host(self, buffer: Any, *, write: bool) -> Any:
        self.staged += write
        return super().host(buffer, write=write)


def test_tiles_are_read_into_memory_that_the_device_copies_from() -> None:
    device, slide = Staging(5), memory_slide(jpeg_level())
    plan, ring = planned(slide), Ring(device, mean_kernel, ring_shape(MEAN_CARD, 8))
    runtime = RingRuntime(MEAN_CARD, "ring/sim", ring)
    source = assembled(runtime, 2)
    got = [p.scores for p in runtime.predict(source(slide, plan, 0))]
    expected = [p.scores for p in MeanRuntime().predict(HostTiles(8, 1)(slide, plan, 0))]
    np.testing.assert_allclose(np.concatenate(got), np.concatenate(expected), atol=1e-5)
    assert device.problems() == device.faults == []
    assert len(plan) % 8 != 0
    assert device.staged == 1, "only the last, short batch"


def test_a_runtime_that_reads_on_its_device_is_asked_for_its_source() -> None:
    device = SimulatedDevice(0)
    ring = Ring(device, mean_kernel, ring_shape(MEAN_CARD, 8))
    tiles = on_device(simulated(0))
    runtime = RingRuntime(MEAN_CARD, "ring/sim", ring, lambda host: replace(tiles, host=host))
    assert isinstance(runtime, RuntimeWithSource)
    source = assembled(runtime, 2)
    assert isinstance(source, CudaTiles)
    assert source.description == tiles.description
    assert source.host.batch_size == 8


def test_a_runtime_on_the_host_has_no_source_of_its_own() -> None:
    runtime = MeanRuntime()
    assert not isinstance(runtime, RuntimeWithSource)
    assert assembled(runtime, 2).description == "the processor"
