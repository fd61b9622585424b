"""A sweep over sizes, tissue, slides and threads; and the slides that it draws."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.bench.results import slide
from tests.conftest import DEMO_MODEL
from wsi_ai.bench.mosaic import tissue_blocks, write_mosaic
from wsi_ai.bench.scale import Drawn, Sweep, processors, run_sweep
from wsi_ai.bench.tasks import look_at
from wsi_ai.cli import app
from wsi_ai.core.environment import threads
from wsi_ai.demo.frame import U8
from wsi_ai.run.opening import open_scaled
from wsi_ai.run.options import RunOptions

SWEEP = Sweep((10_000, 80_000, 20_000), (0.2, 0.5), (3,), (1,), 40_000)


def test_each_point_differs_from_the_first_in_one_thing() -> None:
    first, *others = SWEEP.points()
    for point in others:
        one, base = point.slides[0], first.slides[0]
        changed = [
            one.side_px != base.side_px,
            one.tissue != base.tissue,
            len(point.slides) > 1,
            point.threads != first.threads,
        ]
        assert sum(changed) == 1, point.name


def test_no_result_takes_the_place_of_another() -> None:
    names = [point.name for point in SWEEP.points()]
    assert len(set(names)) == len(names)


def test_large_slides_come_last_and_have_no_whole_run() -> None:
    last = SWEEP.points()[-1]
    assert (last.slides[0].side_px, last.runs) == (80_000, 0)
    assert all(point.runs == 1 for point in SWEEP.points()[:-1])


def test_more_threads_than_there_are_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match=f"1 to {threads()} threads"):
        replace(SWEEP, threads=(threads() + 1,))


def test_processors_are_given_back() -> None:
    before = os.sched_getaffinity(0)

    def fail() -> None:
        assert len(os.sched_getaffinity(0)) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), processors(1):
        fail()
    assert os.sched_getaffinity(0) == before


def test_what_was_measured_is_neither_drawn_nor_measured_again(tmp_path: Path) -> None:
    for point in SWEEP.points():
        made = slide(point.slides[0].side_px, 1000, threads=point.threads)
        (tmp_path / f"{point.name}.json").write_text(json.dumps(made.as_json()))
    said = list[str]()
    benches = run_sweep(SWEEP, [], tmp_path, said.append)
    assert len(benches) == len(SWEEP.points())
    assert said == []
    assert not list(tmp_path.glob("*.svs"))


Blocks = tuple[list[U8], U8]


@pytest.fixture(scope="module")
def blocks() -> Blocks:
    return tissue_blocks(1, 2)


def test_the_command_measures_a_small_sweep_and_says_its_laws(
    tmp_path: Path, blocks: Blocks
) -> None:
    out, wanted = tmp_path / "out", Drawn(2048, 0.3)
    out.mkdir()
    write_mosaic(wanted.path(out), wanted.side_px, wanted.tissue, blocks, 2)
    words = ["bench", "scale", "--model", str(DEMO_MODEL), "--out", str(out)]
    words += ["--size-px", "2048", "--tissue", "0.3", "--slides", "1", "--threads", str(threads())]
    done = CliRunner().invoke(app, [*words, "--repeats", "1", "--tiles", "16"])
    assert done.exit_code == 0, done.output
    assert "fitted to 1 result" in done.output
    assert "memory of one slide: 0 MiB + " in done.output
    assert [path.suffix for path in out.iterdir()] == [".json"]


@pytest.mark.parametrize(("side", "tissue"), [(4096, 0.25), (5000, 0.6)])
def test_a_mosaic_has_the_size_and_the_tissue_that_were_asked_for(
    tmp_path: Path, blocks: Blocks, side: int, tissue: float
) -> None:
    path = tmp_path / "mosaic.svs"
    write_mosaic(path, side, tissue, blocks, 2)
    with open_scaled(path, RunOptions()) as opened:
        assert (opened.info.size.width, opened.info.size.height) == (side, side)
        found = float(look_at(opened).tissue.mean())
        corner = opened.read(0, 0, 0, 64, 64)
        middle = opened.read(0, side // 2, side // 2, 64, 64)
    assert found == pytest.approx(tissue, abs=0.06)
    assert corner.mean() > 225 > np.asarray(middle).mean()
    assert not list(tmp_path.glob("*.part"))


def test_a_slide_without_tissue_is_not_drawn(tmp_path: Path, blocks: Blocks) -> None:
    with pytest.raises(ValueError, match="some of a slide is tissue"):
        write_mosaic(tmp_path / "mosaic.svs", 4096, 0.0, blocks, 1)
    assert Drawn(4096, 0.25).path(tmp_path).name == "slide-4096-0.25-1.svs"
