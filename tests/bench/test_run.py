"""``wsi-ai bench run`` on a small slide: every stage is there, and nothing that names anybody."""

import getpass
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from tests.bench.results import bench, slide, stage, times
from tests.models_for_tests import red_network, write_model
from wsi_ai import schemas
from wsi_ai.app import RunOptions
from wsi_ai.bench import limits
from wsi_ai.bench.compare import compare
from wsi_ai.bench.report import Bench, decode_name, load, verdict
from wsi_ai.bench.run import Asked, run_bench
from wsi_ai.bench.tasks import Least, Task, thread_counts
from wsi_ai.bench.whole_runs import in_own_process
from wsi_ai.cli import app
from wsi_ai.core.cards import Precision
from wsi_ai.core.environment import threads
from wsi_ai.errors import DeviceError, InputError
from wsi_ai.inference.onnx.operations import operations
from wsi_ai.models.manifest import load_card

STAGES = {"open", "hash", "look", "plan", "encoded read", "read into batches", "results"}
STAGES |= {decode_name(count) for count in thread_counts(threads())}
STAGES |= {"resample, one thread", "read tiles of 100 px", "heatmap", "whole run"}
STAGES |= {"forward, fp32, batch 1", "forward, fp32, batch 4"}


@pytest.fixture(scope="module")
def made(
    sample: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bench, str, str]:
    """The result, its JSON, and what was printed."""
    folder = tmp_path_factory.mktemp("bench")
    model = write_model(folder / "model", red_network(), mpp=0.7)
    path, to = sample(size_px=1024, seed=1), folder / "secret-name.json"
    asked = ["--repeats", "1", "--runs", "1", "--tiles", "32", "--batch", "1", "--batch", "4"]
    asked += ["--precision", "fp32", "--precision", "bf16", "--precision", "int8"]
    asked += ["--tile-px", "100"]
    words = [
        "bench",
        "run",
        str(path),
        str(sample(size_px=1024, seed=7, tumour=True)),
        "--model",
        str(model),
        "--json",
        str(to),
        *asked,
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return load(to), to.read_text(), done.output


def test_each_stage_is_measured_alone_and_together(made: tuple[Bench, str, str]) -> None:
    assert {stage.name for stage in made[0].stages} == STAGES


def test_the_result_follows_its_schema(made: tuple[Bench, str, str]) -> None:
    assert schemas.complaint("bench-1", json.loads(made[1])) is None


def test_the_result_comes_back_as_it_was(made: tuple[Bench, str, str]) -> None:
    assert made[0].as_json() == json.loads(made[1])


def test_no_machine_account_path_or_slide_is_named(made: tuple[Bench, str, str]) -> None:
    hidden = (socket.gethostname(), "sample.svs", tempfile.gettempdir(), str(Path.home()))
    for name in (*hidden, "secret-name"):
        assert name not in made[1]
    assert f'"{getpass.getuser()}"' not in made[1]


def test_a_device_that_is_not_there_is_named_as_left_out(made: tuple[Bench, str, str]) -> None:
    assert "left out: host to device, device to host: inference is on the host" in made[2]


def test_a_precision_that_cannot_be_had_is_left_out_by_name(made: tuple[Bench, str, str]) -> None:
    assert "forward in bf16: its runtime does not compute in it here" in made[0].left_out
    assert "forward in int8: the model has no such weights" in made[0].left_out


def test_the_precision_of_the_whole_run_must_be_there(
    sample: Callable[..., Path], tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", red_network())
    asked = Asked(sample(size_px=1024, seed=7), model, 1, 0, 8, precisions=(Precision.BF16,))
    with pytest.raises(DeviceError, match="fp32, not bf16"):
        run_bench(asked, lambda stage: None)


def test_an_unknown_precision_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    words = ["bench", "run", "no.svs", "--model", "no", "--precision", "fp64"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "fp64 is not one of" in done.output


def test_a_whole_run_says_how_busy_its_limiting_stage_was(made: tuple[Bench, str, str]) -> None:
    runs = made[0].whole_runs
    assert runs is not None
    (share,), (limit,), (wall,) = runs.efficiency, runs.limit, runs.wall_s
    assert share == pytest.approx(runs.busy_s[limit][0] / wall, rel=0.02)
    assert runs.busy_s[limit] == max(runs.busy_s.values())
    assert f"{limit} was busy" in verdict(made[0])


def test_runs_of_one_and_of_all_slides_have_their_memory(made: tuple[Bench, str, str]) -> None:
    one, both = made[0].processes
    assert (one.slides, both.slides) == (1, 2)
    assert both.tiles > one.tiles == made[0].work["tiles"]
    assert 50 < one.peak_mib < 2000
    assert f"2 slides, {both.tiles:,} tiles" in made[2]


def test_other_slides_beside_the_first_are_another_measurement(
    made: tuple[Bench, str, str],
) -> None:
    alone = replace(made[0], work={**made[0].work, "slides": 1})
    with pytest.raises(InputError, match="slides differ"):
        compare(alone, made[0])


def test_a_slide_given_twice_is_no_run_of_two(sample: Callable[..., Path], tmp_path: Path) -> None:
    model, path = write_model(tmp_path / "model", red_network()), sample(size_px=1024, seed=7)
    with pytest.raises(InputError, match="inferred 1 of 2 slides"):
        in_own_process([path, path], model, RunOptions())


def test_the_last_line_is_the_verdict(made: tuple[Bench, str, str]) -> None:
    assert made[2].strip().splitlines()[-1] == verdict(made[0])


def test_the_stage_that_takes_longest_sets_the_pace() -> None:
    assert verdict(slide(20_000, 2_000)).startswith("Inference sets the pace: alone it takes 40 s")
    assert verdict(slide(20_000, 2_000, 0.0001)).startswith("Looking sets the pace")
    assert verdict(bench()).startswith("No verdict")


def test_load_by_others_is_in_the_verdict() -> None:
    one = slide(20_000, 2_000)
    busy = replace(one, stages=(*one.stages, stage("decode", times([1.0] * 6, others=1.0))))
    assert "busy in 1 of 5 stages" in verdict(busy)


def test_a_slide_without_tissue_is_refused(sample: Callable[..., Path], tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "white.tif"
    Image.new("RGB", (1024, 1024), "white").save(path)
    model = write_model(tmp_path / "model", red_network())
    with pytest.raises(InputError, match="no tissue"):
        run_bench(Asked(path, model, mpp=0.5, repeats=1, runs=0), lambda stage: None)


def test_operations_of_a_network_are_those_that_are_counted_by_hand(tmp_path: Path) -> None:
    """A convolution of 8 filters of 3 x 3 x 3 over 64 x 64, and 8 x 5 at each of 62 x 62 places."""
    nodes = [
        helper.make_node("Conv", ["tiles", "w"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["row"]),
        helper.make_node("Gemm", ["row", "v"], ["score"]),
    ]
    initial = [
        numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w"),
        numpy_helper.from_array(np.ones((8, 5), np.float32), "v"),
    ]
    graph = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 5])],
        initial,
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(network)
    fields = {"layout": "nchw", "dtype": "float32", "classes": '["red","b","c","d","e"]'}
    card = load_card(write_model(tmp_path / "model", network, **fields))
    assert operations(card) == 2 * (62 * 62 * 8 * 27 + 5 * 8)


def test_the_limit_of_little_work_is_a_share_of_much(tmp_path: Path) -> None:
    from wsi_ai.bench.run import measure

    task = Task("x", "tiles", 1, 1, lambda: sum(range(20_000)), Least("y", limits.hashing(1), 1e-3))
    found = measure(task, 3)
    assert found.limit is not None
    assert found.limit.times.median_s < found.own.median_s


def test_as_many_bytes_are_read_as_were_asked_for_also_of_a_smaller_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    limits.reading_cached(path, 5_000)()
    path.write_bytes(b"")
    limits.reading_cached(path, 5_000)()  # and of an empty one it ends


def test_help_loads_nothing_that_the_benchmark_needs() -> None:
    asked = "import sys; from wsi_ai.cli import app; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    ).stdout.split()
    unwanted = {"matplotlib", "simpy", "numpy", "cv2", "wsi_ai.bench.run", "wsi_ai.bench.report"}
    assert not unwanted & set(loaded)
