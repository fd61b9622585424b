"""Only a softmax or a sigmoid that nothing was made of afterwards is the network's last word."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from wsi_ai.inference.onnx.ends import ends_in_scores, foreign_operator, in_training_mode
from wsi_ai.inference.onnx.operators import read_graph

STORED = {
    "one": np.ones(1, np.float32),
    "two": np.full(1, 2, np.float32),
    "zero": np.float32(0),
    "axes": np.array([1], np.int64),
    "weights": np.eye(2, dtype=np.float32),
}
HARMLESS = {
    "Identity": lambda x, y: helper.make_node("Identity", [x], [y]),
    "Cast": lambda x, y: helper.make_node("Cast", [x], [y], to=T.FLOAT),
    "Clip": lambda x, y: helper.make_node("Clip", [x, "zero", "one"], [y]),
    "Slice": lambda x, y: helper.make_node("Slice", [x, "axes", "axes", "axes"], [y]),
    "Gather": lambda x, y: helper.make_node("Gather", [x, "axes"], [y], axis=1),
    "Concat": lambda x, y: helper.make_node("Concat", [x, x], [y], axis=1),
    "Mean": lambda x, y: helper.make_node("Mean", [x, x], [y]),
    "ReduceMean": lambda x, y: helper.make_node("ReduceMean", [x, "axes"], [y]),
    "one less": lambda x, y: helper.make_node("Sub", ["one", x], [y]),
    "Quantize": lambda x, y: helper.make_node("QuantizeLinear", [x, "one"], [y]),
}
TELLING = {
    "Gemm": lambda x, y: helper.make_node("Gemm", [x, "weights"], [y]),
    "Conv": lambda x, y: helper.make_node("Conv", [x, "weights"], [y]),
    "Mul": lambda x, y: helper.make_node("Mul", [x, "two"], [y]),
    "two less": lambda x, y: helper.make_node("Sub", ["two", x], [y]),
    "less one": lambda x, y: helper.make_node("Sub", [x, "one"], [y]),
    "another's": lambda x, y: helper.make_node("Softmax", [x], [y], domain="else.where"),
    "Log": lambda x, y: helper.make_node("Log", [x], [y]),
}


def ends(steps: list[helper.NodeProto] | list[object], last: str) -> bool:
    return ends_in_scores(read_graph(model(steps, last).SerializeToString()), last)


def model(steps: list[object], last: str) -> onnx.ModelProto:
    graph = helper.make_graph(
        steps,
        "g",
        [helper.make_tensor_value_info("x", T.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info(last, T.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in STORED.items()],
    )
    return helper.make_model(graph)


def chain(start: str, kinds: list[str]) -> tuple[list[object], str]:
    steps, value = [helper.make_node(start, ["x"], ["v0"])], "v0"
    for number, kind in enumerate(kinds):
        made = f"v{number + 1}"
        steps.append({**HARMLESS, **TELLING}[kind](value, made))
        value = made
    return steps, value


@given(
    start=st.sampled_from(["Softmax", "Sigmoid", "HardSigmoid"]),
    kinds=st.lists(st.sampled_from(sorted(HARMLESS)), max_size=6),
)
def test_what_is_moved_picked_or_averaged_stays_a_probability(start: str, kinds: list[str]) -> None:
    assert ends(*chain(start, kinds))


@given(
    before=st.lists(st.sampled_from(sorted(HARMLESS)), max_size=3),
    telling=st.sampled_from(sorted(TELLING)),
    after=st.lists(st.sampled_from(sorted(HARMLESS)), max_size=3),
)
def test_behind_weights_or_an_unknown_step_nothing_is_known(
    before: list[str], telling: str, after: list[str]
) -> None:
    assert not ends(*chain("Softmax", [*before, telling, *after]))


@given(kinds=st.lists(st.sampled_from(sorted(HARMLESS)), max_size=6))
def test_without_an_activation_nothing_is_known(kinds: list[str]) -> None:
    assert not ends(*chain("Relu", kinds))


@pytest.mark.parametrize("other", ["x", "v1"])
def test_each_branch_must_end_in_one(other: str) -> None:
    steps = [
        helper.make_node("Softmax", ["x"], ["v0"]),
        helper.make_node("Sigmoid", ["x"], ["v1"]),
        helper.make_node("Concat", ["v0", other], ["y"], axis=1),
    ]
    assert ends(steps, "y") == (other == "v1")


def test_the_places_that_a_topk_names_are_no_probabilities() -> None:
    steps = [
        helper.make_node("Softmax", ["x"], ["v0"]),
        helper.make_node("TopK", ["v0", "axes"], ["best", "places"]),
    ]
    assert ends(steps, "best")
    assert not ends(steps, "places")


def test_graphs_in_loops_and_branches_are_looked_into() -> None:
    inner = helper.make_graph(
        [helper.make_node("EPContext", [], ["y"], domain="com.microsoft")], "i", [], []
    )
    steps = [helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)]
    graph = read_graph(model(steps, "y").SerializeToString())
    assert foreign_operator(graph) == "the operator EPContext of com.microsoft"
    assert not ends(steps, "y")


def test_a_node_in_training_mode_is_named() -> None:
    names = ["x", "a", "b", "c", "d"]
    node = helper.make_node("BatchNormalization", names, ["y"], name="bn", training_mode=1)
    graph = read_graph(model([node], "y").SerializeToString())
    assert in_training_mode(graph) == ["BatchNormalization bn"]
