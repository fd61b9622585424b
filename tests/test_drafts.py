"""From an ONNX file to a card: what the file says, and TODO for the rest."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper
from typer.testing import CliRunner, Result

from tests.models_for_tests import constant_network, product_network, red_network
from wsi_ai.cards import Activation, Layout
from wsi_ai.cli import app
from wsi_ai.drafts import QUESTIONS, inspect_weights, typed
from wsi_ai.drafts.writing import as_toml
from wsi_ai.errors import ModelError
from wsi_ai.manifest import load_card

TEXTS = [
    "operating_point.chosen_for", "operating_point.calibrated_on", "scope.stain", "scope.organ",
    "card.intended_use", "card.licence", "card.training_data", "card.evidence", "card.limitations",
]  # fmt: skip
SAID = ["--mpp", "0.5", "--classes", "red", "--positive", "red", "--threshold", "0.5"]
SAID += [word for field in TEXTS for word in ("--set", f"{field}=said")]


def init(*words: object, answers: str | None = None) -> Result:
    return CliRunner().invoke(app, ["models", "init", *map(str, words)], input=answers)


def written(place: Path, network: onnx.ModelProto) -> Path:
    place.write_bytes(network.SerializeToString())
    return place


def with_last(network: onnx.ModelProto, *kinds: str) -> onnx.ModelProto:
    """The network, and then these operators."""
    for kind in kinds:
        last = network.graph.output[0]
        network.graph.node.append(helper.make_node(kind, [last.name], [f"after_{kind}"]))
        last.name = f"after_{kind}"
    return network


@pytest.mark.parametrize(
    ("network", "layout", "dtype", "size", "classes", "activation"),
    [
        (red_network(64), "nhwc", "uint8", 64, 1, Activation.SIGMOID),
        (red_network(96, "nchw", "float32"), "nchw", "float32", 96, 1, Activation.SIGMOID),
        (constant_network([0.1, 0.2, 0.7]), "nhwc", "uint8", 64, 3, None),
        (with_last(constant_network([1, 2]), "Softmax"), "nhwc", "uint8", 64, 2, Activation.NONE),
        (
            with_last(red_network(), "Sigmoid", "Identity"), "nhwc", "uint8", 64, 1,
            Activation.NONE,
        ),
        (with_last(constant_network([1, 2]), "Relu"), "nhwc", "uint8", 64, 2, None),
    ],
)  # fmt: skip
def test_an_onnx_file_says_layout_size_type_classes_and_activation(
    tmp_path: Path, network: onnx.ModelProto, layout: str, dtype: str, size: int, classes: int,
    activation: Activation | None,
) -> None:  # fmt: skip
    seen = inspect_weights(written(tmp_path / "a.onnx", network))
    assert (seen.layout, seen.dtype, seen.size_px) == (Layout(layout), dtype, size)
    assert (seen.classes, seen.activation) == (classes, activation)
    assert "opset: onnx 18" in seen.notes


def test_a_free_size_is_asked_for_and_class_names_are_read(tmp_path: Path) -> None:
    network = constant_network([0.1, 0.9])
    for axis in (1, 2):
        network.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "side"
    helper.set_model_props(network, {"class_names": '["normal", "tumour"]'})
    seen = inspect_weights(written(tmp_path / "a.onnx", network))
    assert (seen.size_px, seen.names) == (None, ("normal", "tumour"))


def test_of_several_outputs_the_one_with_scores_is_named(tmp_path: Path) -> None:
    network = red_network()
    network.graph.output.insert(
        0, helper.make_tensor_value_info("float", T.FLOAT, ["n", 64, 64, 3])
    )
    weights = written(tmp_path / "two.onnx", network)
    assert inspect_weights(weights).output == "score"
    assert init(weights, "--out", tmp_path / "m", *SAID).exit_code == 0
    assert load_card(tmp_path / "m").output.name == "score"


def shaped(shape: list[Any], kind: int = T.FLOAT, output: list[Any] | None = None) -> Any:
    network = red_network()
    network.graph.input[0].CopyFrom(helper.make_tensor_value_info("tiles", kind, shape))
    if output:
        network.graph.output[0].CopyFrom(helper.make_tensor_value_info("score", T.FLOAT, output))
    return network


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (shaped(["n", 1, 64, 64]), "takes ['n', 1, 64, 64], not RGB tiles"),
        (shaped([1, 3, 64, 64]), "takes 1 tiles at a time and no other number; export it"),
        (shaped(["n", 3, 64, 32]), "takes tiles of 64 x 32; square ones are needed"),
        (shaped(["n", 3, 64, 64], T.FLOAT16), "takes float16 tiles; uint8 or float32"),
        (shaped(["n", 3, 9, 9], output=["n", 2, 9, 9]), "one score a class, [n, classes], is"),
    ],
)
def test_a_network_that_cannot_run_here_is_told_at_once(
    tmp_path: Path, network: onnx.ModelProto, told: str
) -> None:
    done = init(written(tmp_path / "a.onnx", network), "--out", tmp_path / "m")
    assert done.exit_code == 2
    assert f"a.onnx {told}" in done.stderr or told in done.stderr
    assert not (tmp_path / "m").exists()


def test_tensors_in_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    network = product_network()
    onnx.save_model(network, path, save_as_external_data=True, location="b", size_threshold=99)
    with pytest.raises(ModelError, match="keeps tensors in other files; save it as one file"):
        inspect_weights(path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.onnx", b"not a network", "a.onnx is not an ONNX file"),
        ("a.bin", b"not a network", "a.bin is no file of ONNX, PyTorch or safetensors"),
    ],
)
def test_what_is_no_network_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=told):
        inspect_weights(tmp_path / name)
    with pytest.raises(ModelError, match=r"none\.onnx: No such file"):
        inspect_weights(tmp_path / "none.onnx")


def test_what_nobody_said_is_a_todo_and_such_a_draft_is_not_run(tmp_path: Path, cmu: Path) -> None:
    weights = written(tmp_path / "a.onnx", constant_network([0.1, 0.9]))
    model = tmp_path / "m"
    done = init(weights, "--out", model, "--mpp", 0.5)
    assert done.exit_code == 0
    left = {*TEXTS, "output.classes", "output.activation", "operating_point.class"}
    left |= {"operating_point.threshold"}
    assert {line.strip() for line in done.stdout.splitlines() if line.startswith("  ")} == left
    assert left < set(QUESTIONS)
    words = ["run", str(cmu), "--model", str(model), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 2
    assert "m/model.toml: still to be filled in (TODO): output.activation" in ran.stderr
    assert all(field in ran.stderr for field in left)


def test_a_draft_of_which_all_is_said_loads(tmp_path: Path) -> None:
    weights = written(tmp_path / "red one.onnx", red_network())
    model = tmp_path / "m"
    done = init(weights, "--out", model, *SAID, "--set", "scope.organ=colon, rectum")
    assert "complete; now: wsi-ai run" in done.stdout
    card = load_card(model)
    assert (card.ref.name, card.classes, card.point.threshold) == ("red-one", ("red",), 0.5)
    assert card.scope.organs == ("colon", "rectum")
    assert (card.tile.size_px, card.tile.mpp, card.activation) == (64, 0.5, Activation.SIGMOID)
    assert card.weights.read_bytes() == weights.read_bytes()
    again = init(weights, "--out", model, *SAID)
    assert again.exit_code == 2
    assert "has a model.toml already" in again.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--classes", "a,b"], "output.classes: 2 names, but the network gives 1 scores"),
        (
            ["--positive", "blue"],
            "the card would be refused: operating_point.class: 'blue' is none",
        ),
        (["--set", "input.mpp=wide"], "input.mpp: 'wide' is no number"),
        (["--set", "input.mpp=-1"], "input.mpp: -1.0 is less than or equal to the minimum"),
        (["--set", "input.colour=raw"], "a model card has no field input.colour"),
        (["--set", "output.activation=relu"], "output.activation: 'relu' is not one of"),
        (["--set", "scope=x"], "scope is a table; set the fields in it one by one"),
        (["--set", "name"], "--set name: FIELD=VALUE is needed"),
    ],
)
def test_what_contradicts_the_file_or_the_card_is_told_and_nothing_is_written(
    tmp_path: Path, words: list[str], told: str
) -> None:
    weights = written(tmp_path / "a.onnx", red_network())
    done = init(weights, "--out", tmp_path / "m", *SAID, *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "m").exists()


def test_at_a_terminal_what_is_missing_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsi_ai.cli.model_folders.at_terminal", lambda: True)
    weights = written(tmp_path / "a.onnx", red_network())
    answers = ["wide", "0.5", "red", "red", "0.25", *["said"] * 8, ""]
    done = init(weights, "--out", tmp_path / "m", answers="\n".join(answers) + "\n")
    assert done.exit_code == 0
    assert "input.mpp: micrometres per pixel" in done.stdout
    assert "input.mpp: 'wide' is no number" in done.stdout
    table = tomllib.loads((tmp_path / "m" / "model.toml").read_text())
    assert table["input"]["mpp"] == 0.5
    assert table["operating_point"]["threshold"] == 0.25
    assert table["card"]["limitations"].startswith("TODO")


@pytest.mark.parametrize(
    "text", ['a "b" \\ c', "µ é 漢", "line\nbreak", "tab\t", "\x1b\x00\x7f", "'''"]
)
def test_any_text_comes_back_from_the_toml_that_is_written(text: str) -> None:
    table = {"a": text, "part": {"b": [text, 0.5], "inner part": {text: 1e-7}}}
    lines = as_toml(table, ["a note\nof two lines"])
    assert tomllib.loads(lines) == table


def test_fields_are_typed_by_the_cards_schema() -> None:
    assert typed("input.mean", "0.5, 0.25,0") == [0.5, 0.25, 0.0]
    assert typed("version", "1.0") == "1.0"
    assert typed("input.size_px", " 224 ") == 224
    assert typed("output.roles.tumour", "positive") == "positive"
    assert typed("card.anything", "x, y") == "x, y"
    assert np.isclose(typed("operating_point.threshold", "0.5"), 0.5)
