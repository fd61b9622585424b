"""Removing, moving or misdirecting any one synchronisation of the ring fails a test."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.inference.gpu.ring_mutants import SOURCE, load, mutants
from tests.inference.gpu.ring_scenarios import SHAPE, Judge, arena, features, shared, tiles
from wsi_ai.errors import DeviceError
from wsi_ai.inference.gpu.ring import Ring, RingShape
from wsi_ai.testing.simulated_device import SimEvent, SimStream, SimulatedDevice

MUTANTS = list(mutants())
UNSYNCHRONISED = [mutant for mutant in MUTANTS if mutant[0] != "other"]


def named(mutant: Any) -> str:
    return f"{mutant[0]} {mutant[1]}"


@pytest.mark.parametrize("seed", range(12))
def test_the_ring_as_it_is_passes_every_scenario(seed: int) -> None:
    verdict = Judge().judge(seed)
    assert verdict.checker == verdict.execution == []


@pytest.mark.parametrize("mutant", UNSYNCHRONISED, ids=named)
def test_one_run_shows_each_synchronisation_mutant(mutant: Any) -> None:
    assert Judge(mutant[2].Ring).judge(seed=0).checker


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m[0] == "other"], ids=named)
def test_three_seeds_show_each_other_mutant(mutant: Any) -> None:
    verdicts = [Judge(mutant[2].Ring).judge(seed) for seed in range(3)]
    assert any(verdict.checker or verdict.execution for verdict in verdicts)


def test_every_kind_of_mutant_is_there() -> None:
    kinds = [mutant[0] for mutant in MUTANTS]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "removed": 12,
        "moved": 12,
        "misdirected": 14,
        "other": 9,
    }


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m[0] == "removed"], ids=named)
def test_data_alone_shows_each_removed_call_within_60_seeds(mutant: Any) -> None:
    """The two detectors are independent."""
    assert any(Judge(mutant[2].Ring).judge(seed).execution for seed in range(60))


@pytest.mark.parametrize(
    ("slots", "results", "redundant"),
    [
        (2, 3, []),
        (1, 2, []),
        (1, 1, ["slot.uploaded.synchronize()", "upload.wait(slot.consumed)"]),
        (4, 4, ["slot.uploaded.synchronize()", "upload.wait(slot.consumed)"]),
    ],
)
def test_with_more_results_than_slots_no_call_is_redundant(
    slots: int, results: int, redundant: list[str]
) -> None:
    """Otherwise collecting a result guards the input too."""
    shape = dataclasses.replace(SHAPE, slots=slots, results=results)
    survivors = [
        what.partition(": ")[2]
        for kind, what, module in MUTANTS
        if kind == "removed" and not _host_races(module, shape)
    ]
    assert sorted(survivors) == sorted([*redundant, *_RESIDENT])


_RESIDENT = ["slot.uploaded.synchronize()", "upload.wait(cut.ready)", "cut.drawn.record(upload)"]
"""Of pixels that came on the device, or are drawn there: nothing to see with pixels in host
memory."""


def _host_races(module: Any, shape: RingShape) -> list[str]:
    device = SimulatedDevice(0)
    list(module.Ring(device, features, shape).predict(arena(tiles([3] * 9 + [2]))))
    return device.problems()


def test_each_single_call_of_each_batch_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only waits for events that were never recorded change nothing."""

    def run() -> list[str]:
        device = SimulatedDevice(0)
        list(Ring(device, features, SHAPE).predict(arena(tiles([3] * 9))))
        return device.problems()

    matters, problems = _calls(monkeypatch, run, None)
    assert problems == []
    assert len(matters) == 9 * 8 + 3
    for number, needed in enumerate(matters):
        assert bool(_calls(monkeypatch, run, number)[1]) == needed, f"call {number}"
    assert matters.count(False) == 2 * 2  # the first use of each input slot


def _calls(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], list[str]], dropped: int | None
) -> tuple[list[bool], list[str]]:
    """Run with one call left out; says of each call whether it can matter at all."""
    matters = list[bool]()

    def counted(original: Any) -> Any:
        def call(self: Any, *arguments: Any) -> None:
            event = self if isinstance(self, SimEvent) else arguments[0] if arguments else None
            matters.append(original.__name__ == "record" or bool(event is None or event.ops))
            if len(matters) - 1 != dropped:
                original(self, *arguments)

        return call

    calls = [(SimEvent, "record"), (SimEvent, "synchronize"), (SimStream, "wait")]
    with monkeypatch.context() as patch:
        for cls, name in [*calls, (SimStream, "close")]:
            patch.setattr(cls, name, counted(getattr(cls, name)))
        return matters, run()


def test_shared_memory_is_waited_for_before_its_owner_fills_it_again() -> None:
    broken = next(module for _, what, module in MUTANTS if what == "device pixels not waited for")
    for made, races in ((Ring, False), (broken.Ring, True)):
        device = SimulatedDevice(0)
        list(made(device, features, SHAPE).predict(shared(device, tiles([3] * 9))))
        assert bool(device.problems()) == races


class RefusesLaunch(SimulatedDevice):
    """The call itself fails, as a Python error in a model does."""

    def __init__(self, seed: int, left: int) -> None:
        super().__init__(seed)
        self.left = left

    def launch(self, *arguments: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise DeviceError("bad tile")
        super().launch(*arguments)


def _free_races(closed: str, left: int) -> bool:
    old = "for stream in streams:\n"
    assert old in SOURCE
    module = load(SOURCE.replace(old, f"for stream in streams[{closed}]:\n"), closed)
    device = RefusesLaunch(0, left)
    predictions = module.Ring(device, features, SHAPE).predict(arena(tiles([3] * 6)))
    try:
        next(predictions)
        predictions.close()
    except DeviceError:
        pass
    return any("free at" in p and "not ordered" in p for p in device.problems())


def test_which_streams_must_be_closed_before_the_buffers_are_freed() -> None:
    """``download`` covers whole batches, ``compute`` the one whose launch raised.  ``upload`` is
    covered by what ``compute`` waits for, and closed only so that it is given back."""
    assert _free_races(":2", left=9)
    assert not _free_races("2:", left=9)
    assert _free_races("2:", left=0)
    assert not _free_races("1:", left=0)
