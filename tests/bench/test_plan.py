"""What slides cost is found again from results; machines are found by the queue."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.bench.results import bench, slide, stage, times
from wsi_ai.bench.laws import (
    Cost,
    describe_laws,
    fit_laws,
    memory_law,
    slides_laws,
    threads_laws,
)
from wsi_ai.bench.plan import Fleet, Load, fewest_machines, share_in_time
from wsi_ai.bench.region import Stages
from wsi_ai.bench.report import Bench, decode_name
from wsi_ai.bench.whole import ProcessRun
from wsi_ai.cli import app
from wsi_ai.errors import InputError

SLIDES = [slide(20_000, 2_000), slide(60_000, 18_000), slide(100_000, 50_000)]
LOAD = Load(800, 30, 0.95, 0.05, "day")
TWO_MINUTES = Stages((2.0, 3.0), (110.0, 130.0), (1.0, 1.0))


def written(folder: Path, benches: list[Bench]) -> list[str]:
    paths = [folder / f"{n}.json" for n in range(len(benches))]
    for path, one in zip(paths, benches, strict=True):
        path.write_text(json.dumps(one.as_json()))
    return [str(path) for path in paths]


def test_the_planted_slopes_are_found_again() -> None:
    laws = fit_laws([Cost.of(one) for one in SLIDES])
    assert (laws.looking.start, laws.looking.slope) == pytest.approx((1, 5), rel=1e-3)
    assert (laws.inference.start, laws.inference.slope) == pytest.approx((0, 0.02), abs=1e-4)
    assert laws.writing is not None
    assert (laws.writing.start, laws.writing.slope) == pytest.approx((0.5, 0.001), rel=1e-3)
    assert laws.tiles.slope == pytest.approx(20_000, rel=1e-3)


@given(st.lists(st.tuples(st.integers(2_000, 150_000), st.floats(0.1, 9)), min_size=1, max_size=6))
def test_no_slide_is_foretold_to_take_less_than_nothing(found: list[tuple[int, float]]) -> None:
    laws = fit_laws([Cost(px**2 / 1e9, 0.3, px / 10, 1, s, s * px, s) for px, s in found])
    assert laws.writing is not None
    for law in (laws.looking, laws.inference, laws.writing, laws.tiles):
        assert law.start >= 0
        assert law.slope >= 0


def test_twice_the_threads_at_twice_the_rate_is_the_power_of_one() -> None:
    assert threads_laws([slide(20_000, 2_000)]) == []
    both = [slide(20_000, 2_000), slide(20_000, 2_000, 0.01, threads=4)]
    powers = {law.name: law.power for law in threads_laws(both)}
    assert powers == {"inference": pytest.approx(1.0), "reading": pytest.approx(0.0, abs=1e-9)}


def test_decoding_has_a_power_of_its_own_in_one_result() -> None:
    stages = [
        stage(decode_name(count), times([seconds] * 6), 100, 1000)
        for count, seconds in ((1, 4.0), (2, 2.0), (4, 1.0))
    ]
    (law,) = threads_laws([bench(*stages)])
    assert (law.name, law.power) == ("decode", pytest.approx(1.0))


def test_fewer_threads_do_not_bend_the_line_over_sizes() -> None:
    slow = slide(60_000, 18_000, tile_s=0.04, threads=1)
    (_, _, inference, *_) = describe_laws([*SLIDES, slow])
    assert "inference: 0 s + 0.02 s a tile; misses by 0%" in inference


def test_the_planted_memory_is_found_again() -> None:
    """300 MiB and 20 more a gigapixel; of several slides the peak is that of each and 10 more."""

    def runs(side_px: int, *counts: int) -> Bench:
        giga = side_px**2 / 1e9
        costs = [
            ProcessRun(n, 100 * n, 2 + 3 * n, 9.0, 300 + 20 * giga + 10 * (n - 1), 0.0, 0.9)
            for n in counts
        ]
        one = slide(side_px, 1000)
        work = {**one.work, "slides": max(counts)}
        return replace(one, work=work, processes=costs)

    found = [runs(10_000, 1), runs(10_000, 1, 4), runs(50_000, 1), runs(100_000, 1)]
    law = memory_law(found)
    assert law is not None
    assert (law.start, law.slope) == pytest.approx((300, 20), rel=1e-6)
    wall, peak = slides_laws(found)
    assert (wall.start, wall.slope) == pytest.approx((2, 3), rel=1e-6)
    assert peak.slope == pytest.approx(10, rel=1e-6)
    assert str(law) == "memory of one slide: 300 MiB + 20 MiB a gigapixel; misses by 0% at most"
    assert memory_law(SLIDES) is None
    assert slides_laws(SLIDES) == []


def test_slides_without_a_whole_run_bend_no_line_of_writing() -> None:
    large = replace(
        slide(150_000, 100_000),
        stages=[one for one in slide(150_000, 100_000).stages if one.name != "results"],
    )
    laws = fit_laws([Cost.of(one) for one in (*SLIDES, large)])
    assert laws.writing is not None
    assert (laws.writing.start, laws.writing.slope) == pytest.approx((0.5, 0.001), rel=1e-3)
    only = fit_laws([Cost.of(large)])
    assert only.writing is None
    with pytest.raises(InputError, match="no result has a whole run"):
        only.stages([(20_000, 0.2)])


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    found = fewest_machines(LOAD, TWO_MINUTES)
    assert found is not None
    return found


def test_slides_that_come_by_day_want_more_machines_than_division_says(fleet: Fleet) -> None:
    assert fleet.machines > fleet.by_division
    assert fleet.late <= 1 - LOAD.share


def test_one_machine_fewer_breaks_the_promise(fleet: Fleet) -> None:
    fewer = (share_in_time(LOAD, TWO_MINUTES, fleet.machines - 1, seed)[0] for seed in (20, 21, 22))
    assert min(fewer) < LOAD.share


def test_no_number_of_machines_makes_a_slide_faster_than_it_is() -> None:
    hours_long = Stages((60.0,), (7_200.0,), (5.0,))
    assert fewest_machines(Load(20, 30, 0.95, 0.05, "even"), hours_long) is None


def test_a_result_without_inference_is_refused() -> None:
    one = slide(20_000, 2_000)
    without = [stage for stage in one.stages if "forward" not in stage.name]
    with pytest.raises(InputError, match="no reading or no inference"):
        Cost.of(replace(one, stages=without))


def test_the_command_says_slopes_and_machines(tmp_path: Path) -> None:
    asked = ["--slides", "100", "--minutes", "60", "--size-px", "80000", "--tissue", "0.3"]
    done = CliRunner().invoke(app, ["bench", "plan", *written(tmp_path, SLIDES), *asked])
    assert done.exit_code == 0, done.output
    assert "inference: 0 s + 0.02 s a tile" in done.output
    assert "by division alone" in done.output


def test_slides_of_one_size_say_nothing_of_another_size(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["bench", "plan", *written(tmp_path, SLIDES[:1]), "--size-px", "80000"]
    )
    assert done.exit_code == 2
    assert "two sizes or more" in done.output


def test_results_of_two_models_are_not_put_together(tmp_path: Path) -> None:
    other = replace(SLIDES[1], model={"name": "n-1"})
    done = CliRunner().invoke(app, ["bench", "plan", *written(tmp_path, [SLIDES[0], other])])
    assert done.exit_code == 2
    assert "different models" in done.output


def test_the_record_of_a_run_stands_in_for_results(tmp_path: Path) -> None:
    names = ("looking", 0, 2), ("inference", 2, 12), ("writing", 12, 13)
    spans = [{"stage": stage, "start_s": start, "end_s": end} for stage, start, end in names]
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"slides": [{"spans": spans}]}))
    done = CliRunner().invoke(app, ["bench", "plan", str(path), "--slides", "100"])
    assert done.exit_code == 0, done.output
    assert "busy for 10 s on average" in done.output
    path.write_text(json.dumps({"slides": []}))
    refused = CliRunner().invoke(app, ["bench", "plan", str(path)])
    assert refused.exit_code == 2
    assert "the run inferred no slide" in refused.output
