"""Which pictures come of which results."""

import json
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from tests.bench.results import slide, stage, times
from wsi_ai.bench.report import Bench, decode_name, forward_name, tiles_name
from wsi_ai.bench.scaling_plots import _of_one_tissue, _several
from wsi_ai.bench.whole import ProcessRun, WholeRuns
from wsi_ai.cli import app

RUN = {
    "efficiency": 0.9,
    "limit": "inference",
    "wall_s": 5.0,
    "busy_s": {"looking": 0.5, "reading": 1.0, "inference": 4.5, "writing": 0.2},
    "slides": [
        {
            "spans": [
                {"stage": "opening", "start_s": 0.1, "end_s": 0.4},
                {"stage": "inference", "start_s": 0.4, "end_s": 4.9},
                {"stage": "writing", "start_s": 4.9, "end_s": 5.1},
            ],
            "tiles": {
                "start_s": 0.4,
                "end_s": 4.0,
                "inference_waited_s": 0.1,
                "reading_was_busy_s": 1.0,
                "waits": [[0.4, 0.5]],
                "stands": [[1.0, 3.5]],
            },
        }
    ],
}


def full(side_px: int, threads: int = 4, slides: int = 1) -> Bench:
    """With a stage for each setting."""
    one = slide(side_px, side_px // 10, threads=threads)
    more = [
        *(stage(decode_name(n), times([4.0 / n] * 6), 100, 1000) for n in (1, 2, 4)),
        *(stage(tiles_name(side), times([0.1] * 6), 10, 100) for side in (128, 512)),
        *(stage(forward_name("fp32", n), times([0.01 * n] * 6), n, 1000) for n in (8, 32)),
        *(stage(forward_name("int8", n), times([0.004 * n] * 6), n, 1000) for n in (1, 8, 32)),
    ]
    counts = sorted({1, slides})
    processes = [ProcessRun(n, 100, 9.0 * n, 9.0, 400.0 + n, 0.0, 0.9) for n in counts]
    return replace(
        one,
        work={**one.work, "slides": slides},
        stages=[*one.stages, *more],
        whole_runs=WholeRuns.of([RUN]),
        processes=processes,
    )


def plotted(folder: Path, *benches: Bench) -> set[str]:
    paths = [folder / f"{n}.json" for n in range(len(benches))]
    for path, bench in zip(paths, benches, strict=True):
        path.write_text(json.dumps(bench.as_json()))
    done = CliRunner().invoke(app, ["bench", "plot", *map(str, paths)])
    assert done.exit_code == 0, done.output
    pictures = list(folder.glob("*.png"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert sorted(done.output.split()) == sorted(map(str, pictures))
    return {path.stem for path in pictures}


def test_one_result_gives_its_stages_and_what_it_has_several_settings_of(tmp_path: Path) -> None:
    names = {"stages", "roofline", "timeline", "threads", "batch", "tile-size"}
    assert plotted(tmp_path, full(20_000)) == {f"0-{name}" for name in names}


def test_one_setting_makes_no_curve(tmp_path: Path) -> None:
    assert plotted(tmp_path, slide(20_000, 2_000)) == {"0-stages", "0-roofline"}


def test_several_results_give_curves_over_size_slides_and_threads(tmp_path: Path) -> None:
    benches = full(10_000), full(40_000), full(10_000, threads=1), full(10_000, slides=4)
    found = {name for name in plotted(tmp_path, *benches) if name.startswith("scaling-")}
    names = {"threads", "batch", "tile-size", "slide-size", "slides"}
    assert found == {f"scaling-{name}" for name in names}


def test_pictures_go_into_a_folder_that_is_made(tmp_path: Path) -> None:
    result, out = tmp_path / "a.json", tmp_path / "new" / "plots"
    result.write_text(json.dumps(slide(20_000, 2_000).as_json()))
    done = CliRunner().invoke(app, ["bench", "plot", str(result), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {"a-stages.png", "a-roofline.png"}


def test_results_of_two_machines_are_not_put_into_one_picture(tmp_path: Path) -> None:
    other = replace(full(40_000), machine={"processor": "another", "processors": 4})
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, bench in zip(paths, (full(10_000), other), strict=True):
        path.write_text(json.dumps(bench.as_json()))
    done = CliRunner().invoke(app, ["bench", "plot", *map(str, paths)])
    assert done.exit_code == 2
    assert "different machines" in done.output


def test_of_several_points_above_each_other_one_is_joined() -> None:
    """A curve over slides has no upright piece where two results have runs of one slide."""
    one, four = full(10_000), full(10_000, slides=4)
    for panel in _several([one, four]):
        ((_, *others),) = (series.points for series in panel.series)
        assert [x for x, _ in others] == [4]


def test_nearly_as_much_tissue_is_as_much_and_half_of_it_is_not() -> None:
    def of(side_px: int, share: float) -> Bench:
        return replace(full(side_px), work={**full(side_px).work, "tissue_share": share})

    found = _of_one_tissue(
        [of(10_000, 0.19), of(20_000, 0.186), of(60_000, 0.173), of(9_000, 0.09)]
    )
    assert [bench.work["width_px"] for bench in found] == [10_000, 20_000, 60_000]
