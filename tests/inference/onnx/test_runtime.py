import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.models_for_tests import constant_network, product_network, red_network, write_model
from wsi_ai.core.cards import Activation, RuntimeRequest
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.inference.scoring import activate
from wsi_ai.models.manifest import load_card


def tiles(count: int, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def batches(pixels: np.ndarray, size: int) -> Iterator[TileBatch]:
    for start in range(0, len(pixels), size):
        part = pixels[start : start + size]
        yield TileBatch("s", np.arange(start, start + len(part)), part)


def scores_of(folder: Path, pixels: np.ndarray, size: int = 32) -> np.ndarray:
    runtime = open_runtime(load_card(folder), RuntimeRequest("cpu"))
    return np.concatenate([p.scores for p in runtime.predict(batches(pixels, size))])


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_network_sees_red_where_the_tile_is_red(
    tmp_path: Path, layout: str, dtype: str
) -> None:
    network = red_network(layout=layout, dtype=dtype)
    folder = write_model(tmp_path / "m", network, layout=layout, dtype=dtype)
    pixels = tiles(70)
    expected = pixels[..., 0].mean(axis=(1, 2), dtype=np.float64) / 255
    np.testing.assert_allclose(scores_of(folder, pixels)[:, 0], expected, atol=1e-6)


def test_mean_and_std_are_applied_per_channel(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", red_network(dtype="float32"), dtype="float32")
    card = folder / "model.toml"
    card.write_text(
        card.read_text().replace(
            "[output]", "mean = [0.2, 0.9, 0.9]\nstd = [4, 0.1, 0.1]\n[output]"
        )
    )
    pixels = np.full((1, 64, 64, 3), 204, np.uint8)  # 0.8 of 255
    assert scores_of(folder, pixels)[0, 0] == pytest.approx((0.8 - 0.2) / 4, rel=1e-4)


def test_a_tiles_score_does_not_depend_on_its_company(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", red_network())
    pixels = tiles(33)
    np.testing.assert_array_equal(scores_of(folder, pixels, 32), scores_of(folder, pixels, 5))


def test_a_batch_larger_than_usual_is_scored_as_smaller_ones_are(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", red_network(dtype="float32"), dtype="float32")
    pixels = tiles(40)
    np.testing.assert_allclose(scores_of(folder, pixels, 40), scores_of(folder, pixels), atol=1e-6)


def test_it_takes_no_batch_before_it_is_asked(tmp_path: Path) -> None:
    waiting = batches(tiles(4), 1)
    open_runtime(
        load_card(write_model(tmp_path / "m", red_network())), RuntimeRequest("auto")
    ).predict(waiting)
    assert next(waiting).index.tolist() == [0]


def test_an_empty_batch_gives_an_empty_answer_in_its_place(tmp_path: Path) -> None:
    runtime = open_runtime(
        load_card(write_model(tmp_path / "m", red_network())), RuntimeRequest("cpu")
    )
    empty = TileBatch("s", np.empty(0, np.int64), np.empty((0, 64, 64, 3), np.uint8))
    (answer,) = runtime.predict([empty])
    assert answer.scores.shape == (0, 1)


def test_no_batches_no_predictions(tmp_path: Path) -> None:
    runtime = open_runtime(
        load_card(write_model(tmp_path / "m", red_network())), RuntimeRequest("cpu")
    )
    assert list(runtime.predict(iter(()))) == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"classes": '["red", "blue"]'},
            "output.classes: weights.onnx gives (1, 1) for 1 tiles; its card asks for (1, 2)",
        ),
        ({"side": 65}, "input: weights.onnx does not take what its card says"),
        ({"dtype": "float32"}, "does not take what its card says"),
        ({"layout": "nchw"}, "does not take what its card says"),
    ],
)
def test_a_card_that_does_not_fit_its_network_is_refused(
    tmp_path: Path, fields: dict[str, object], told: str
) -> None:
    card = load_card(write_model(tmp_path / "m", red_network(), **fields))
    with pytest.raises(ModelError) as refused:
        open_runtime(card, RuntimeRequest("cpu"))
    assert told in str(refused.value)


def test_scores_outside_0_to_1_are_refused_and_the_card_named(tmp_path: Path) -> None:
    card = load_card(write_model(tmp_path / "m", constant_network([3.0])))
    with pytest.raises(ModelError, match=r"outside 0\.\.1"):
        open_runtime(card, RuntimeRequest("cpu"))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", b"not a network")
    with pytest.raises(ModelError, match="does not load"):
        open_runtime(load_card(folder), RuntimeRequest("cpu"))


def test_an_opset_that_is_too_new_is_told_in_one_line(tmp_path: Path) -> None:
    network = red_network()
    network.opset_import[0].version = 99
    card = load_card(write_model(tmp_path / "m", network))
    with pytest.raises(ModelError) as refused:
        open_runtime(card, RuntimeRequest("cpu"))
    told = (
        r"weights\.onnx does not load: opset 99: ONNX Runtime \S+ knows those up to \d+; export it"
    )
    assert re.match(told, str(refused.value))
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(("kind", "domain"), [("Nonsense", ""), ("Cast", "com.acme")])
def test_an_operator_that_nobody_knows_is_named(tmp_path: Path, kind: str, domain: str) -> None:
    network = red_network()
    network.graph.node[0].op_type, network.graph.node[0].domain = kind, domain
    with pytest.raises(ModelError, match=domain or kind) as refused:
        open_runtime(load_card(write_model(tmp_path / "m", network)), RuntimeRequest("cpu"))
    assert "ONNXRuntimeError" not in str(refused.value)
    assert "onnxruntime_src" not in str(refused.value)


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    card = load_card(write_model(tmp_path / "m", red_network()))
    with pytest.raises(DeviceError, match="give --device cpu"):
        open_runtime(card, RuntimeRequest("cuda:7"))


def test_softmax_rows_sum_to_one_and_keep_the_order_of_classes() -> None:
    scores = activate(np.array([[1.0, 3.0, -2.0]], np.float32), Activation.SOFTMAX)
    assert scores.sum() == pytest.approx(1)
    assert scores.argmax() == 1


def test_sigmoid_of_a_huge_logit_is_a_number() -> None:
    assert activate(np.array([[-1e4, 0, 1e4]], np.float32), Activation.SIGMOID).tolist() == [
        [0.0, 0.5, 1.0]
    ]


def test_of_several_outputs_the_one_that_the_card_names_is_scored(tmp_path: Path) -> None:
    network = red_network()
    extra = onnx.helper.make_tensor_value_info("mean", onnx.TensorProto.FLOAT, ["n"])
    network.graph.output.insert(0, extra)
    folder = write_model(tmp_path / "m", network)
    card, pixels = folder / "model.toml", tiles(3)
    with pytest.raises(ModelError, match=r"gives scores outside 0\.\.1"):
        scores_of(folder, pixels)  # the first output is the mean of bytes
    text = card.read_text()
    card.write_text(text.replace("[output]", '[output]\nname = "score"'))
    expected = pixels[..., 0].mean(axis=(1, 2), dtype=np.float64) / 255
    np.testing.assert_allclose(scores_of(folder, pixels)[:, 0], expected, atol=1e-6)
    card.write_text(text.replace("[output]", '[output]\nname = "other"'))
    with pytest.raises(ModelError, match=r"output\.name: weights\.onnx has no output 'other' but"):
        scores_of(folder, pixels)


def test_tensors_in_other_files_are_not_found_even_where_nobody_looked(tmp_path: Path) -> None:
    """The card is checked for them; the runtime must not open them in any case."""
    path = tmp_path / "apart.onnx"
    onnx.save_model(
        product_network(), path, save_as_external_data=True, location="b", size_threshold=99
    )
    card = load_card(write_model(tmp_path / "m", product_network()))
    ref = dataclasses.replace(card.ref, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ModelError, match=r"apart\.onnx does not load"):
        open_runtime(dataclasses.replace(card, weights=path, ref=ref), RuntimeRequest("cpu"))
