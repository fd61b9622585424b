"""A device that fails in the middle: what can be saved is, what cannot says why, and the next
slide runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.stand_in_runs import Failed, LostButHost, Small, Tiny, ran, run_here, write_slide
from wsi_ai.core.flags import Level
from wsi_ai.run.outcome import Outcome


def load(outcome: Outcome, name: str) -> dict[str, Any]:
    assert outcome.folder is not None
    content: dict[str, Any] = json.loads((outcome.folder / name).read_text())
    return content


def scores(outcome: Outcome) -> np.ndarray:
    assert outcome.folder is not None
    return np.asarray(zarr.open_array(outcome.folder / "heatmap.ome.zarr" / "0", mode="r")[:])


@pytest.fixture
def slides(tmp_path: Path) -> list[Path]:
    return [write_slide(tmp_path / f"{n}.tif", seed=i) for i, n in enumerate(("big", "next"))]


def test_out_of_memory_it_goes_on_with_fewer_tiles_at_once_from_where_it_was(
    slides: list[Path], tmp_path: Path
) -> None:
    sound = run_here(tmp_path / "sound", Failed, slides)
    small = run_here(tmp_path / "small", Small, slides)
    for expected, outcome in zip(sound, small, strict=True):
        assert outcome.level is Level.EXPEDITE
        np.testing.assert_array_equal(scores(outcome), scores(expected))
    record = load(small[0], "run.json")
    assert record["device_changes"] == [
        "out of device memory with 16 tiles at once: went on with 8",
        "out of device memory with 8 tiles at once: went on with 4",
    ]
    sizes = [n for _, _, n in ran(tmp_path / "small", "big")]
    assert sizes == [16, 8, *[4] * 10]
    assert record["tiles"] == {"planned": 64, "inferred": 64, "left_out": 0, "resumed": 0}
    assert load(small[1], "run.json")["device_changes"] == []
    assert {n for _, _, n in ran(tmp_path / "small", "next")} == {4}


def test_where_not_even_one_tile_fits_the_slide_says_so_and_the_next_one_runs(
    slides: list[Path], tmp_path: Path
) -> None:
    big, after = run_here(tmp_path / "out", Tiny, slides)
    assert big.level is Level.NOT_ASSESSED
    assert "out of memory on the device" in big.reason
    assert load(big, "flag.json")["result"]["explanation"] == big.reason
    assert after.level is Level.EXPEDITE


@pytest.mark.parametrize("place", [0, 1])
def test_lost_where_auto_chose_it_the_slide_is_run_on_the_host(tmp_path: Path, place: int) -> None:
    names = ["a", "c", "d"]
    names.insert(place, "bad")
    slides = [write_slide(tmp_path / f"{n}.tif") for n in names]
    outcomes = run_here(tmp_path / "out", LostButHost, slides, "auto")
    assert [o.slide.stem for o in outcomes] == names
    assert {o.level for o in outcomes} == {Level.EXPEDITE}
    record = load(outcomes[place], "run.json")
    (change,) = record["device_changes"]
    assert "fell off the bus: went on on the host's processor" in change
    assert record["runtime"] == load(outcomes[place], "flag.json")["model"]["runtime"]
    assert record["runtime"] == record["asked"]["runtime"] == "mean of red/cpu"
    on_host = [n for device, _, n in ran(tmp_path / "out", "bad") if device == "cpu"]
    assert sum(on_host) == 64
    after = load(outcomes[-1], "run.json")
    assert after["runtime"] == "mean of red/cpu"
    assert after["device_changes"] == []


def test_lost_where_it_was_asked_for_the_slide_is_not_assessed_and_the_next_one_runs(
    tmp_path: Path,
) -> None:
    slides = [write_slide(tmp_path / f"{n}.tif") for n in ("a", "bad", "c")]
    a, bad, c = run_here(tmp_path / "out", LostButHost, slides, "one")
    assert (a.level, c.level) == (Level.EXPEDITE, Level.EXPEDITE)
    assert bad.level is Level.NOT_ASSESSED
    assert bad.reason == "inference failed: the device fell off the bus"
    assert load(c, "run.json")["runtime"] == "mean of red/one"
    again = run_here(tmp_path / "out", Failed, slides, "one")
    assert [o.fresh for o in again] == [False, True, False]
    assert load(again[1], "run.json")["tiles"]["resumed"] == 16
