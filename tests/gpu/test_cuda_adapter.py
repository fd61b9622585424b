"""``gpu/cuda.py`` over a stand-in for torch: it synchronises as the ring says, and each of its
own synchronisations is needed."""

import re
import sys
from pathlib import Path

import pytest

from tests.gpu.fake_torch import FakeTorch
from tests.gpu.ring_mutants import load
from tests.gpu.ring_scenarios import SHAPE, arena, tiles, wrong
from wsi_ai.gpu.ring import Ring
from wsi_ai.testing.simulated_device import SimulatedDevice

ADAPTER = (Path(__file__).parents[2] / "wsi_ai" / "gpu" / "cuda.py").read_text("utf-8")
COPY = 'with device_errors("copying"), torch.cuda.stream(stream.raw):'
LAUNCH = 'with device_errors("inference"), torch.cuda.stream(stream.raw):'


def verdict(monkeypatch: pytest.MonkeyPatch, seed: int, source: str) -> list[str]:
    """Two runs in a row, for streams and memory that are used again."""
    fake = FakeTorch(SimulatedDevice(seed))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", fake)
        device = load(source, "cuda").CudaDevice()
        found = list[str]()
        for size in (9, 2):
            data = tiles([3] * size + [1], seed)
            predicted = list(Ring(device, fake.features, SHAPE).predict(arena(data)))
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
