"""Which way tiles take to a device: decoded there if its decoder proves itself, else from memory
that it shares.  On host tensors and the simulated device."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import ImageCms

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.inference.gpu.test_runtimes import mean_kernel  # noqa: E402
from tests.tiles.memory import MemoryLevel, memory_slide  # noqa: E402
from wsi_ai.core.cards import Colour, TileSpec  # noqa: E402
from wsi_ai.core.contracts import RuntimeWithSource, Slide  # noqa: E402
from wsi_ai.core.geometry import Size  # noqa: E402
from wsi_ai.core.values import Codec, Encoding, TileBatch, TilePlan  # noqa: E402
from wsi_ai.errors import DeviceError  # noqa: E402
from wsi_ai.inference.gpu.cuda import CudaDevice  # noqa: E402
from wsi_ai.inference.gpu.decoded_tiles import Decode, DeviceTiles  # noqa: E402
from wsi_ai.inference.gpu.ring import Ring  # noqa: E402
from wsi_ai.inference.gpu.runtime import RingRuntime, ring_shape  # noqa: E402
from wsi_ai.inference.gpu.source import CudaTiles, hold_to_host, on_host, tiles_for  # noqa: E402
from wsi_ai.run.assembly import source_for  # noqa: E402
from wsi_ai.testing import MeanRuntime, PaintedSlide  # noqa: E402
from wsi_ai.testing.simulated_device import SimulatedDevice  # noqa: E402
from wsi_ai.testing.stand_ins import MEAN_CARD  # noqa: E402
from wsi_ai.tiles.planning import plan_tiles  # noqa: E402
from wsi_ai.tiles.reading import HostTiles  # noqa: E402

STORED = Size(80, 96)
SPEC = TileSpec(64, 0.5, 64)


class JpegLevel(MemoryLevel):
    """Compressed when asked for; what its decoder yields may be said to be of another kind."""

    def __init__(self, encoding: Encoding | None = None) -> None:
        seeds = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        super().__init__(np.ascontiguousarray(seeds.repeat(10, 0).repeat(10, 1)), STORED)
        self.encoding = encoding or Encoding(Codec.JPEG, STORED)

    def encoded(self, col: int, row: int) -> bytes | None:
        raw = super().encoded(col, row)
        assert raw is not None
        pixels = np.frombuffer(raw, np.uint8).reshape(STORED.height, STORED.width, 3)
        return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=90)


def exact(encoded: Sequence[bytes]) -> list[Any]:
    """The host's decoder, in the place of the device's."""
    return [torch.from_numpy(on_host(_kind(data), data)) for data in encoded]


def _kind(data: bytes) -> Encoding:
    if data[:2] != b"\xff\xd8":
        return Encoding(Codec.JPEG2000, Size(256, 256))
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    return Encoding(Codec.JPEG, Size(width, height))


def changed(how: Callable[[Any], Any]) -> Decode:
    return lambda encoded: [how(image) for image in exact(encoded)]


def one_off(image: Any) -> Any:
    near = image.short() + torch.tensor([1, 0, 0])
    return near.clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("decode", [exact, changed(one_off)])
def test_a_decoder_within_what_jpeg_leaves_open_is_taken(decode: Decode) -> None:
    hold_to_host(decode)


@pytest.mark.parametrize(
    ("decode", "told"),
    [
        (changed(lambda image: image.flip(2)), "changes JPEG 444 by"),
        (changed(lambda image: image.roll(1, 1)), "changes JPEG 444 by"),
        (changed(lambda image: image // 8 * 8), "changes JPEG 444 by"),
        (changed(lambda image: image[:-1]), r"gives \(255, 256, 3\)"),
        (lambda encoded: [None], "declines JPEG 444"),
    ],
)
def test_a_decoder_that_changes_pixels_is_not_taken(decode: Decode, told: str) -> None:
    with pytest.raises(DeviceError, match=told):
        hold_to_host(decode)


class Counting:
    def __init__(self) -> None:
        self.tiles = 0

    def __call__(self, encoded: Sequence[bytes]) -> list[Any]:
        self.tiles += len(encoded)
        return exact(encoded)


def on_device(decode: Decode) -> CudaTiles:
    tiles = DeviceTiles(7, decode, on_host, torch.device("cpu"), lambda: None)
    return CudaTiles(tiles, HostTiles(7, 2), "both")


def planned(slide: Slide, spec: TileSpec = SPEC) -> TilePlan:
    return plan_tiles(slide.info, np.ones((4, 4), np.bool_), spec)


def alike(got: list[TileBatch], wanted: list[TileBatch]) -> bool:
    pairs = zip(got, wanted, strict=True)
    return all(
        g.index.tolist() == w.index.tolist()
        and np.array_equal(np.asarray(g.pixels), np.asarray(w.pixels))
        for g, w in pairs
    )


def kept(batches: Any) -> list[TileBatch]:
    return [replace(b, pixels=np.array(np.asarray(b.pixels))) for b in batches]


def test_a_slide_of_jpeg_tiles_is_decoded_on_the_device_to_the_hosts_pixels() -> None:
    slide, decode = memory_slide(JpegLevel()), Counting()
    plan = planned(slide)
    got = kept(on_device(decode)(slide, plan, 7))
    assert alike(got, kept(HostTiles(7, 2)(slide, plan, 7)))
    assert decode.tiles > 0


def with_profile(slide: Any) -> Any:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    slide.info = replace(slide.info, icc_profile=profile)
    return slide


@pytest.mark.parametrize(
    ("slide", "spec"),
    [
        (PaintedSlide(), SPEC),
        (memory_slide(MemoryLevel(np.zeros((200, 200, 3), np.uint8), STORED)), SPEC),
        (memory_slide(JpegLevel(Encoding(Codec.JPEG, STORED, channels=1))), SPEC),
        (memory_slide(JpegLevel(Encoding(Codec.JPEG2000, STORED, ycc=True))), SPEC),
        (with_profile(memory_slide(JpegLevel())), replace(SPEC, color=Colour.SRGB)),
    ],
    ids=["no stored tiles", "raw", "grey", "ycc", "colour profile"],
)
def test_what_the_device_would_show_otherwise_is_decoded_on_the_host(
    slide: Any, spec: TileSpec
) -> None:
    decode = Counting()
    plan = planned(slide, spec)
    list(on_device(decode)(slide, plan, len(plan) - 1))
    assert decode.tiles == 0


def test_without_nvimagecodec_the_host_decodes_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    if torch.cuda.is_available():
        pytest.skip("a device is here, and maybe nvImageCodec")
    host = HostTiles(7, 2)
    assert tiles_for(CudaDevice(0), host) is host
    assert "tiles are decoded on the processor: nvImageCodec is not installed" in caplog.text


class Staging(SimulatedDevice):
    """Counts what is copied into pinned memory before it is uploaded."""

    staged = 0

    def host(self, buffer: Any, *, write: bool) -> Any:
        self.staged += write
        return super().host(buffer, write=write)


def test_tiles_are_read_into_memory_that_the_device_copies_from() -> None:
    device, slide = Staging(5), memory_slide(JpegLevel())
    plan, ring = planned(slide), Ring(device, mean_kernel, ring_shape(MEAN_CARD, 8))
    runtime = RingRuntime(MEAN_CARD, "ring/sim", ring)
    source = source_for(runtime, 2)
    got = [p.scores for p in runtime.predict(source(slide, plan, 0))]
    expected = [p.scores for p in MeanRuntime().predict(HostTiles(8, 1)(slide, plan, 0))]
    np.testing.assert_allclose(np.concatenate(got), np.concatenate(expected), atol=1e-5)
    assert device.problems() == device.faults == []
    assert len(plan) % 8 != 0
    assert device.staged == 1, "only the last, short batch"


def test_a_runtime_that_reads_on_its_device_is_asked_for_its_source() -> None:
    device = SimulatedDevice(0)
    ring = Ring(device, mean_kernel, ring_shape(MEAN_CARD, 8))
    tiles = on_device(exact)
    runtime = RingRuntime(MEAN_CARD, "ring/sim", ring, lambda host: replace(tiles, host=host))
    assert isinstance(runtime, RuntimeWithSource)
    source = source_for(runtime, 2)
    assert isinstance(source, CudaTiles)
    assert source.description == "both"
    assert source.host.batch_size == 8


def test_a_runtime_on_the_host_has_no_source_of_its_own() -> None:
    runtime = MeanRuntime()
    assert not isinstance(runtime, RuntimeWithSource)
    assert source_for(runtime, 2).description == "the processor"
