"""A step of an ONNX graph that draws by chance is found by reading, wherever it stands."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from wsi_ai.inference.onnx.chance import by_chance
from wsi_ai.inference.onnx.operators import read_graph

Steps = list[onnx.NodeProto]
STORED = {"no": np.array(False), "yes": np.array(True), "half": np.float32(0.5)}


def step(op: str, inputs: list[str], output: str = "y", **fields: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=f"{op}1", **fields)


def graph(
    steps: Steps, output: str = "y", stored: tuple[str, ...] = tuple(STORED)
) -> onnx.GraphProto:
    return helper.make_graph(
        steps,
        "g",
        [helper.make_tensor_value_info("x", T.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info(output, T.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(STORED[name]), name) for name in stored],
    )


def found(
    steps: Steps, output: str = "y", functions: tuple[onnx.FunctionProto, ...] = ()
) -> str | None:
    model = helper.make_model(graph(steps, output), functions=functions)
    return by_chance(read_graph(model.SerializeToString()), [output])


DRAWING: dict[str, Callable[[str], onnx.NodeProto]] = {
    "RandomNormal": lambda y: step("RandomNormal", [], y, shape=[2]),
    "RandomUniform": lambda y: step("RandomUniform", [], y, shape=[2], seed=1.0),
    "RandomNormalLike": lambda y: step("RandomNormalLike", ["x"], y),
    "RandomUniformLike": lambda y: step("RandomUniformLike", ["x"], y),
    "Bernoulli": lambda y: step("Bernoulli", ["x"], y),
    "Multinomial": lambda y: step("Multinomial", ["x"], y, sample_size=1),
    "Dropout": lambda y: step("Dropout", ["x", "half", "yes"], y),
    "a Dropout that something switches": lambda y: step("Dropout", ["x", "half", "x"], y),
}
STEADY: dict[str, Callable[[str], onnx.NodeProto]] = {
    "Relu": lambda y: step("Relu", ["x"], y),
    "Dropout": lambda y: step("Dropout", ["x"], y),
    "with its share": lambda y: step("Dropout", ["x", "half"], y),
    "switched off": lambda y: step("Dropout", ["x", "", "no"], y),
    "of another's domain": lambda y: helper.make_node("Relu", ["x"], [y], domain="else.where"),
}


def in_a_branch(make: Callable[[str], onnx.NodeProto]) -> Steps:
    drawn, other = graph([make("a")], "a", ()), graph([step("Relu", ["x"], "b")], "b", ())
    return [step("If", ["yes"], then_branch=other, else_branch=drawn)]


def in_a_branch_of_a_branch(make: Callable[[str], onnx.NodeProto]) -> Steps:
    inner, other = graph(in_a_branch(make), "y", ()), graph([step("Relu", ["x"], "c")], "c", ())
    return [step("If", ["yes"], then_branch=inner, else_branch=other)]


def used_from_within(make: Callable[[str], onnx.NodeProto]) -> Steps:
    """A branch takes a value from outside without saying so."""
    uses, other = (
        graph([step("Neg", ["v"], "a")], "a", ()),
        graph([step("Neg", ["x"], "b")], "b", ()),
    )
    return [make("v"), step("If", ["yes"], then_branch=uses, else_branch=other)]


PLACES: dict[str, Callable[[Callable[[str], onnx.NodeProto]], Steps]] = {
    "last": lambda make: [make("y")],
    "before others": lambda make: [make("v"), step("Relu", ["v"], "w"), step("Neg", ["w"])],
    "in a branch": in_a_branch,
    "in a branch of a branch": in_a_branch_of_a_branch,
    "used from within a branch": used_from_within,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", DRAWING)
def test_a_step_that_draws_is_named_wherever_it_stands(kind: str, place: str) -> None:
    node = DRAWING[kind]("v")
    assert found(PLACES[place](DRAWING[kind])) == f"{node.op_type} {node.op_type}1"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", STEADY)
def test_steps_that_do_not_draw_are_passed_over(kind: str, place: str) -> None:
    assert found(PLACES[place](STEADY[kind])) is None


@pytest.mark.parametrize("kind", DRAWING)
def test_what_the_output_does_not_come_from_may_draw(kind: str) -> None:
    assert found([DRAWING[kind]("v"), step("Relu", ["x"]), step("Neg", ["v"], "w")]) is None


def function(name: str, steps: Steps) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x", "given"], ["y"], steps, opsets)


def called(name: str) -> onnx.NodeProto:
    return helper.make_node(name, ["x", "no"], ["y"], domain="own")


@pytest.mark.parametrize("kind", DRAWING)
def test_a_function_of_the_file_is_looked_into(kind: str) -> None:
    inner, outer = function("f", [DRAWING[kind]("y")]), function("g", [called("f")])
    assert found([called("g")], functions=(outer, inner)) is not None
    assert found([step("Relu", ["x"])], functions=(outer, inner)) is None


def test_a_constant_of_the_graph_is_not_that_of_a_function() -> None:
    """What is off outside may be on inside, under the same name."""
    assert found([called("f")], functions=(function("f", [step("Dropout", ["x", "", "no"])]),))
    own = step("Constant", [], "off", value=numpy_helper.from_array(np.array(False)))
    steps = [own, step("Dropout", ["x", "", "off"])]
    assert found([called("f")], functions=(function("f", steps),)) is None


def test_functions_that_call_each_other_twice_are_looked_into_once() -> None:
    """Else thirty of them would take a thousand million steps."""
    doubled = [
        function(
            f"f{n}",
            [helper.make_node(f"f{n + 1}", ["x", "no"], [out], domain="own") for out in ("a", "y")],
        )
        for n in range(30)
    ]
    assert (
        found([called("f0")], functions=(*doubled, function("f30", [step("Relu", ["x"])]))) is None
    )
