"""A network that does not say the same of a tile each time is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from typer.testing import CliRunner

from tests.models_for_tests import corner_network, mean_network, red_network, write_model
from wsi_ai.cli import app
from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.errors import ModelError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.inference.trial import Batches, check_agreement, trial_tiles
from wsi_ai.models.manifest import load_card

CPU = RuntimeRequest("cpu")
TILES = trial_tiles(8)


def followed(nodes: list[onnx.NodeProto], *stored: tuple[str, object]) -> onnx.ModelProto:
    """``red_network`` with other steps between its mean, [n, 1, 1, 1], and its score."""
    network = red_network()
    graph = network.graph
    graph.node[2].attribute[0].i = 1  # keepdims
    graph.node[3].output[0] = "before"
    for node in reversed(nodes):
        graph.node.insert(4, node)
    for name, value in stored:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return network


def by_chance() -> onnx.ModelProto:
    """So little that no trial shows it."""
    noise = helper.make_node("RandomUniformLike", ["before"], ["noise"], low=0.0, high=1e-9)
    return followed([noise, helper.make_node("Sub", ["before", "noise"], ["share"])])


def by_its_neighbours() -> onnx.ModelProto:
    mean = helper.make_node("ReduceMean", ["before", "first"], ["all"], keepdims=1)
    less = helper.make_node("Sub", ["before", "all"], ["apart"])
    more = helper.make_node("Add", ["apart", "middle"], ["share"])
    return followed([mean, less, more], ("first", np.array([0])), ("middle", np.float32(0.5)))


def normalised_in_training() -> onnx.ModelProto:
    one = np.ones(1, np.float32)
    node = helper.make_node(
        "BatchNormalization",
        ["before", "s", "b", "m", "v"],
        ["share", "m2", "v2"],
        name="bn1",
        training_mode=1,
    )
    return followed([node], ("s", one * 0.1), ("b", one * 0.5), ("m", one), ("v", one))


UNSTEADY = {
    "by chance": by_chance,
    "by its neighbours": by_its_neighbours,
    "normalised in training": normalised_in_training,
}


@pytest.mark.parametrize("kind", UNSTEADY)
@pytest.mark.parametrize("batch", [None, 4])
def test_a_network_that_disagrees_with_itself_is_not_opened(
    kind: str, batch: int | None, tmp_path: Path
) -> None:
    network = UNSTEADY[kind]()
    if batch:
        network.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    fields = {"input": f"batch = {batch}"} if batch else {}
    card = load_card(write_model(tmp_path / "m", network, **fields))
    with pytest.raises(ModelError, match=r"does not say the same .* exported in training mode"):
        open_runtime(card, CPU)


@pytest.mark.parametrize("kind", UNSTEADY)
def test_no_card_is_drafted_for_it(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(UNSTEADY[kind]().SerializeToString())
    words = ["models", "init", str(tmp_path / "a.onnx"), "--out", str(tmp_path / "m")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "exported in training mode" in done.stderr
    assert ("training_mode is set in BatchNormalization bn1" in done.stderr) == ("norm" in kind)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("network", [red_network(), corner_network()], ids=["red", "corner"])
def test_a_network_that_is_a_function_is_opened(network: onnx.ModelProto, tmp_path: Path) -> None:
    open_runtime(load_card(write_model(tmp_path / "m", network, activation="sigmoid")), CPU)


@settings(deadline=None)
@given(
    count=st.integers(1, 9),
    again=st.integers(1, 4),
    which=st.integers(0, 6),
    apart=st.sampled_from([0.0, 1e-6, 1e-2, float("nan")]),
)
def test_one_answer_of_all_that_is_another_is_noticed(
    count: int, again: int, which: int, apart: float
) -> None:
    """Whichever call it is; rounding is none."""
    calls = list[int]()

    def network(tiles: np.ndarray) -> np.ndarray:
        answer = tiles.mean((1, 2, 3), dtype=np.float32)[:, None] / np.float32(255)
        calls.append(1)
        if len(calls) - 1 == which % (3 + again):
            answer = answer + np.float32(apart)
        return answer

    def tried() -> None:
        check_agreement("a.onnx", network, TILES, Batches(count, count, again))

    if apart in (0.0, 1e-6):
        tried()
    else:
        with pytest.raises(ModelError, match="does not say the same"):
            tried()


def test_tiles_without_a_number_are_no_disagreement() -> None:
    check_agreement(
        "a", lambda tiles: np.full((len(tiles), 2), np.nan, np.float32), TILES, Batches(1, 3)
    )
    check_agreement(
        "a", lambda tiles: np.full((len(tiles), 2), np.inf, np.float32), TILES, Batches(1, 3)
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_what_adds_up_to_one_already_is_given_no_activation(
    activation: str, tmp_path: Path
) -> None:
    """By its numbers, where no operator shows it: a softmax written out, say."""
    network, classes = mean_network(), '["red", "green", "blue"]'
    folder = write_model(tmp_path / "logits", network, activation=activation, classes=classes)
    open_runtime(load_card(folder), CPU)
    network.graph.node[-1].output[0] = "before"
    network.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axes"))
    total = helper.make_node("ReduceSum", ["before", "axes"], ["all"])
    network.graph.node.append(total)
    name = network.graph.output[0].name
    network.graph.node.append(helper.make_node("Div", ["before", "all"], [name]))
    folder = write_model(tmp_path / "shares", network, activation=activation, classes=classes)
    with pytest.raises(ModelError, match="adds up to 1 over the classes already"):
        open_runtime(load_card(folder), CPU)
