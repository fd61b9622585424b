"""``gpu/cuda.py`` over a stand-in for torch: it synchronises as the ring says, and each of its
own synchronisations is needed."""

import re
import sys
from functools import partial

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.inference.gpu.fake_torch import FakeTorch
from tests.inference.gpu.ring_mutants import load
from tests.inference.gpu.ring_scenarios import SHAPE, arena, shared, tiles, wrong
from wsi_ai.inference.gpu.ring import Ring
from wsi_ai.testing.simulated_device import SimulatedDevice

ADAPTER = (ROOT / "wsi_ai" / "inference" / "gpu" / "cuda.py").read_text("utf-8")
COPY = 'with device_errors("copying"), torch.cuda.stream(stream.raw):'
LAUNCH = 'with device_errors("inference"), torch.cuda.stream(stream.raw):'


def verdict(monkeypatch: pytest.MonkeyPatch, seed: int, adapter: str) -> list[str]:
    """Runs in a row, for streams and memory that are used again; the last from shared memory."""
    fake = FakeTorch(SimulatedDevice(seed))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", fake)
        device = load(adapter, "cuda").CudaDevice()
        found = list[str]()
        for size, source in ((9, arena), (2, arena), (9, partial(shared, device))):
            data = tiles([3] * size + [1], seed)
            predicted = list(Ring(device, fake.features, SHAPE).predict(source(data)))
            found += wrong(predicted, data)
    fake.default.synchronize()
    return fake.sim.checker.races + fake.sim.faults + found


@pytest.mark.parametrize("seed", range(20))
def test_the_adapter_synchronises_as_the_ring_says(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(monkeypatch, seed, ADAPTER) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"self\.raw\.record\(stream\.raw\)", "self.raw.record()"),
        (r"self\.raw\.wait_event\(event\.raw\)", "pass"),
        (r"self\.raw\.synchronize\(\)", "pass"),
        (r"stream\.wait_stream\(.*\)", "pass"),
        (re.escape(COPY), 'with device_errors("copying"):'),
        (re.escape(LAUNCH), 'with device_errors("inference"):'),
    ],
)
def test_each_synchronisation_of_the_adapter_is_needed(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, replaced = re.subn(old, new, ADAPTER)
    assert replaced
    assert verdict(monkeypatch, 0, source) != []


def test_shared_memory_is_copied_from_where_it_is_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeTorch(SimulatedDevice(0))
    monkeypatch.setitem(sys.modules, "torch", fake)
    device = load(ADAPTER, "cuda").CudaDevice()
    ours = device.alloc_shared((3, 2, 2, 3))
    assert device.resident(ours[:3]).buffer.data is ours
    assert device.resident(np.zeros((3, 2, 2, 3), np.uint8)) is None
