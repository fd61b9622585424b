"""``gpu/nvimagecodec.py`` over stand-ins for nvImageCodec and CuPy, on the simulated device."""

import sys
import types
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.inference.gpu.fake_cupy import FakeCupy
from tests.inference.gpu.ring_mutants import load
from wsi_ai.core.geometry import Size
from wsi_ai.errors import NoDevice, OutOfDeviceMemory
from wsi_ai.testing.simulated_device import SimulatedDevice

FOLDER = ROOT / "wsi_ai" / "inference" / "gpu"
TILE = Size(4, 2)
END = b"\xff\xd9"


def encoded(value: int, width: int = 4, height: int = 2) -> bytes:
    """A stream whose tile is of one value; 0 is damaged."""
    return bytes([width, height, value]) + END


class FakeImage:
    def __init__(self, buffer: Any, queue: int) -> None:
        self.buffer, self.queue, self.shape = buffer, queue, (2, 4, 3)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"data": (self.buffer.data.ctypes.data, False), "strides": None}


class FakeDecoder:
    def __init__(self, module: Any, **kwargs: Any) -> None:
        self.module, self.kwargs = module, kwargs
        module.decoders.append(self)

    def image(self, queue: int) -> FakeImage:
        """Its memory is taken in the order of the stream."""
        buffer = self.module.cupy.sim.alloc((24,), np.uint8)
        buffer.reads.clear()
        return FakeImage(buffer, queue)

    def decode(self, streams: Any, *, images: Any, params: Any, cuda_stream: int) -> Any:
        cupy = self.module.cupy
        self.module.calls.append((len(streams), images is not None, params))
        (queue,) = [s for s in cupy.streams if s.ptr == cuda_stream]
        given = images or [self.image(cuda_stream) for _ in streams]
        assert len(given) == len(streams)
        if self.module.full:
            raise RuntimeError("cudaErrorMemoryAllocation: out of memory")
        for stream, image in zip(streams, given, strict=True):
            write = partial(_fill, stream.value)
            cupy.sim.launch(write, queue.sim, [], [image.buffer])
        return [i if s.value else None for s, i in zip(streams, given, strict=True)]


def _fill(value: int, out: Any) -> None:
    out[...] = value


class FakeCodec(types.ModuleType):
    def __init__(self, cupy: FakeCupy) -> None:
        super().__init__("nvimgcodec")
        self.cupy, self.full = cupy, False
        self.decoders, self.calls = list[Any](), list[Any]()
        self.Decoder = partial(FakeDecoder, self)
        self.BackendKind = types.SimpleNamespace(HW_GPU_ONLY=1, GPU_ONLY=2, HYBRID_CPU_GPU=3)
        self.ColorSpec = types.SimpleNamespace(SRGB="srgb", SYCC="sycc")
        self.Backend = lambda kind: kind
        self.DecodeParams = lambda apply_exif_orientation, color_spec: color_spec

    def CodeStream(self, data: bytes) -> Any:
        if data[2] == 99:
            raise RuntimeError("cannot be parsed")
        return types.SimpleNamespace(width=data[0], height=data[1], value=data[2])


class Setting:
    """The codec over its stand-ins, and memory for what it decodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> None:
        self.cupy = FakeCupy(SimulatedDevice(seed))
        self.library = FakeCodec(self.cupy)
        cuda = load_as(monkeypatch, "cuda", self.cupy)
        nvidia = types.ModuleType("nvidia")
        nvidia.nvimgcodec = self.library  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "nvidia", nvidia)
        monkeypatch.setitem(sys.modules, "wsi_ai.inference.gpu.cuda", cuda)
        module = load((FOLDER / "nvimagecodec.py").read_text("utf-8"), "nvimagecodec")
        self.device = cuda.CudaDevice()
        self.codec = module.NvImageCodec(self.device, TILE, "SRGB")
        self.rows = self.device.rows(self.device.alloc((8, 24), np.uint8))
        self.stream = self.device.stream("decode")

    def decoded(self, streams: list[bytes]) -> tuple[list[bool], list[int]]:
        done = self.codec(streams, self.rows[: len(streams)], self.stream)
        return done, [self.shown(row) for row in self.rows[: len(streams)]]

    def shown(self, row: Any) -> int:
        self.stream.raw.synchronize()
        return int(row.buffer.data[0])


def load_as(monkeypatch: pytest.MonkeyPatch, name: str, cupy: FakeCupy) -> Any:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return load((FOLDER / f"{name}.py").read_text("utf-8"), name)


def test_tiles_are_decoded_into_their_slots_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(monkeypatch)
    assert setting.decoded([encoded(n) for n in (5, 6, 7)]) == ([True] * 3, [5, 6, 7])
    assert setting.library.calls == [(3, False, "srgb")]
    (decoder,) = setting.library.decoders
    assert decoder.kwargs["backends"] == [1, 2, 3]
    assert decoder.kwargs["options"] == ":fancy_upsampling=1"


@pytest.mark.parametrize(
    "bad",
    [
        encoded(9)[:-2],
        encoded(9)[:-1],
        encoded(9, width=5),
        encoded(9, height=3),
        encoded(0),
        encoded(99),
    ],
    ids=["no end", "half an end", "too wide", "too high", "damaged", "no such format"],
)
def test_a_bad_tile_is_declined_and_the_others_are_decoded(
    bad: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(monkeypatch)
    done, shown = setting.decoded([encoded(5), bad, encoded(7)])
    assert done == [True, False, True]
    assert (shown[0], shown[2]) == (5, 7)


def test_a_stream_that_its_container_padded_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Setting(monkeypatch).decoded([encoded(5) + b"\0"]) == ([True], [5])


@pytest.mark.parametrize("strides", [None, (12, 3, 1)])
def test_rows_without_gaps_are_one_copy_however_that_is_said(
    strides: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeImage, "__cuda_array_interface__", property(partial(_said, strides)))
    assert Setting(monkeypatch).decoded([encoded(5), encoded(6)]) == ([True] * 2, [5, 6])


def _said(strides: tuple[int, ...] | None, image: FakeImage) -> dict[str, Any]:
    return {"data": (image.buffer.data.ctypes.data, False), "strides": strides}


@pytest.mark.parametrize("seed", range(4))
def test_its_images_are_used_again_and_each_copy_is_of_its_own_call(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, counts = Setting(monkeypatch, seed), [3, 2, 4, 1, 4, 5, 3]
    for n, count in enumerate(counts, 1):
        rows = setting.rows[:count]
        assert all(setting.codec([encoded(n)] * count, rows, setting.stream))
        assert [setting.shown(row) for row in rows] == [n] * count
    assert [again for _, again, _ in setting.library.calls] == [False, True, False] + [True] * 4
    assert setting.cupy.sim.faults == []
    assert setting.cupy.sim.checker.races == []


def test_where_memory_runs_out_that_is_said_as_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting(monkeypatch)
    setting.library.full = True
    with pytest.raises(OutOfDeviceMemory):
        setting.decoded([encoded(5)])


def test_where_it_is_not_installed_that_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(monkeypatch)
    monkeypatch.setitem(sys.modules, "nvidia", types.ModuleType("nvidia"))
    with pytest.raises(NoDevice, match=r"pip install 'wsi-ai\[cuda\]'"):
        type(setting.codec)(setting.device, TILE, "SRGB")
