"""Two results of ``wsi-ai bench run``: a planted slowdown is found, and noise is called noise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.bench.results import bench, stage, times
from wsi_ai.bench.compare import Verdict, change, compare
from wsi_ai.bench.measured import Times, median_between
from wsi_ai.bench.report import Stage
from wsi_ai.bench.rounds import Timed
from wsi_ai.bench.whole_runs import stages_of
from wsi_ai.cli import app
from wsi_ai.errors import InputError

QUIET = [1.00, 1.01, 0.99, 1.02, 1.00, 0.98, 1.01]
seconds = st.lists(st.floats(0.001, 100), min_size=6, max_size=15)


def written(folder: Path, name: str, own: Times) -> str:
    path = folder / name
    path.write_text(json.dumps(bench(stage("decode", own)).as_json()))
    return str(path)


def test_a_planted_slowdown_of_a_fifth_is_found() -> None:
    found = change("decode", times(QUIET), times([1.2 * s for s in QUIET]))
    assert found.verdict is Verdict.SLOWER
    assert found.ratio == pytest.approx(1.2)


def test_one_outlier_hides_no_slowdown() -> None:
    """Of ten rounds nine take 1 s and one takes 10; then all take 1.2 s."""
    assert change("x", times([1.0] * 9 + [10]), times([1.2] * 10)).verdict is Verdict.SLOWER


def test_one_outlier_in_many_is_not_called_equal_to_none_of_them_by_the_mean() -> None:
    assert change("x", times([10.0] * 10), times([1.0] * 9 + [91])).verdict is Verdict.FASTER


@given(seconds)
def test_a_run_is_never_slower_than_itself(found: list[float]) -> None:
    verdict = change("x", times(found), times(found)).verdict
    assert verdict in (Verdict.SAME, Verdict.UNCLEAR)


@given(seconds, seconds)
def test_what_is_slower_one_way_is_faster_the_other(a: list[float], b: list[float]) -> None:
    there, back = change("x", times(a), times(b)), change("x", times(b), times(a))
    other = {Verdict.SLOWER: Verdict.FASTER, Verdict.FASTER: Verdict.SLOWER}
    assert back.verdict is other.get(there.verdict, there.verdict)


@given(seconds, st.floats(1.0, 3.0))
def test_rounds_that_overlap_are_never_called_slower_where_spread_is_too_large(
    found: list[float], factor: float
) -> None:
    first, second = times(found), times([factor * s for s in found])
    between = median_between(first.seconds)
    assert between is not None
    if between[1] > factor * between[0]:
        assert change("x", first, second).verdict is not Verdict.SLOWER


def test_a_baseline_that_was_spread_by_two_thirds_gives_no_verdict() -> None:
    noisy = times([168.2, 297.5, 196.6, 171.0, 280.0, 230.0])
    assert change("x", noisy, times([158.4] * 6)).verdict is Verdict.UNCLEAR


def test_load_from_outside_is_not_called_a_slowdown() -> None:
    """It takes longer by the clock alone."""
    busy = replace(times([1.5 * s for s in QUIET], others=1.0), cpu_s=tuple(QUIET))
    found = change("x", times(QUIET), busy)
    assert found.verdict is Verdict.UNCLEAR
    assert "busy in the second" in found.why


def test_a_slowdown_under_load_is_found_where_processor_time_agrees() -> None:
    first, second = times(QUIET, others=1.0), times([1.5 * s for s in QUIET], others=1.0)
    assert change("x", first, second).verdict is Verdict.SLOWER


def test_five_rounds_are_too_few_to_say() -> None:
    assert change("x", times([1.0] * 5), times([2.0] * 5)).why == "fewer than 6 rounds"


def test_results_of_other_work_are_not_compared() -> None:
    one = bench(stage("decode", times(QUIET)))
    other = replace(one, work={**one.work, "tiles": 7})
    with pytest.raises(InputError, match="work tiles"):
        compare(one, other)


def test_the_command_ends_with_1_where_a_stage_became_slower(tmp_path: Path) -> None:
    first = written(tmp_path, "a.json", times(QUIET))
    second = written(tmp_path, "b.json", times([1.3 * s for s in QUIET]))
    done = CliRunner().invoke(app, ["bench", "compare", first, second])
    assert done.exit_code == 1, done.output
    assert "decode" in done.output
    assert "slower" in done.output
    assert CliRunner().invoke(app, ["bench", "compare", first, first]).exit_code == 0


def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    done = CliRunner().invoke(app, ["bench", "compare", str(path), str(path)])
    assert done.exit_code == 2
    assert "other.json was not written by wsi-ai bench run" in done.output


def test_load_is_not_taken_for_slower_results() -> None:
    """What a run spends on results is known by the clock alone: no processor time can agree."""

    def results(seconds: float) -> Stage:
        spans = [{"stage": "writing", "start_s": 0.0, "end_s": seconds}]
        records = [{"slides": [{"spans": spans}]}] * 6
        timed = [Timed(10.0, 5.0, 1.5)] * 6
        forward = stage("forward, fp32, batch 1", times([1.0] * 6))
        return next(iter(stages_of(timed, records, 100, forward)))

    (found,) = compare(bench(results(1.0)), bench(results(3.0)))
    assert (found.name, found.verdict) == ("results", Verdict.UNCLEAR)
