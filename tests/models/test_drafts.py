"""From an ONNX file to a card: what the file says, and TODO for the rest."""

import hashlib
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper
from onnx.numpy_helper import from_array, to_array
from typer.testing import CliRunner, Result

from tests.models_for_tests import constant_network, product_network, red_network
from wsi_ai.cli import app
from wsi_ai.core.cards import Activation, Layout, RuntimeRequest
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.drafts import QUESTIONS, inspect_weights, typed
from wsi_ai.models.drafts.writing import as_toml
from wsi_ai.models.manifest import load_card

TEXTS = [
    "operating_point.chosen_for", "operating_point.calibrated_on", "scope.stain", "scope.organ",
    "card.intended_use", "card.licence", "card.training_data", "card.evidence", "card.limitations",
]  # fmt: skip
SAID = ["--mpp", "0.5", "--classes", "red", "--positive", "red", "--threshold", "0.5"]
SAID += ["--set", "output.activation=sigmoid"]
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
        (red_network(64), "nhwc", "uint8", 64, 1, None),
        (red_network(96, "nchw", "float32"), "nchw", "float32", 96, 1, None),
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
    assert (seen.shape, seen.activation) == ((classes,), activation)
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
        (shaped(["n", 3, 64, 32]), "takes tiles of 64 x 32; square ones are needed"),
        (shaped(["n", 3, 64, 64], T.FLOAT16), "takes float16 tiles; uint8 or float32"),
        (
            shaped(["n", 3, 9, 9], output=["n", 2, 9, 9, 9]),
            "gives score ['n', 2, 9, 9, 9]; [n, classes]",
        ),
    ],
)
def test_a_network_that_cannot_run_here_is_told_at_once(
    tmp_path: Path, network: onnx.ModelProto, told: str
) -> None:
    done = init(written(tmp_path / "a.onnx", network), "--out", tmp_path / "m")
    assert done.exit_code == 2
    assert f"a.onnx {told}" in done.stderr or told in done.stderr
    assert not (tmp_path / "m").exists()


def in_parts(folder: Path, location: str = "b") -> Path:
    path = folder / "a.onnx"
    network = product_network()
    onnx.save_model(network, path, save_as_external_data=True, location="b", size_threshold=99)
    if location != "b":
        path.write_bytes(path.read_bytes().replace(b"\x01b", b"%c%b" % (1, location.encode())))
    return path


def test_tensors_in_other_files_are_put_together_and_their_digests_are_told(tmp_path: Path) -> None:
    weights = in_parts(tmp_path)
    assert init(weights, "--out", tmp_path / "m", *SAID).exit_code == 0
    card = load_card(tmp_path / "m")
    whole = onnx.load(card.weights, load_external_data=False).graph.initializer
    for tensor, wanted in zip(whole, product_network().graph.initializer, strict=True):
        assert np.array_equal(to_array(tensor), to_array(wanted))
    told = (tmp_path / "m" / "model.toml").read_text()
    for part in (weights, tmp_path / "b"):
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        assert f"# put together of {part.name}, SHA-256 {digest}" in told


def test_tensors_in_a_file_that_is_not_beside_it_are_told(tmp_path: Path) -> None:
    weights = in_parts(tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    with pytest.raises(ModelError, match=r"a\.onnx keeps tensors in b: put that file beside it"):
        inspect_weights(weights)
    weights = in_parts(tmp_path, "/")
    with pytest.raises(ModelError, match=r"a\.onnx keeps tensors in '/', which is not beside it"):
        inspect_weights(weights)


def test_in_the_file_s_own_folder_it_is_not_put_together_over_itself(tmp_path: Path) -> None:
    weights = in_parts(tmp_path)
    before = weights.read_bytes()
    done = init(weights, "--out", tmp_path, *SAID)
    assert done.exit_code == 2
    assert "a.onnx keeps tensors in other files; give another --out" in done.stderr
    assert weights.read_bytes() == before


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_a_network_for_so_many_tiles_at_once_scores_any_number(tmp_path: Path, batch: int) -> None:
    network = red_network(64)
    network.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    assert (
        init(written(tmp_path / "a.onnx", network), "--out", tmp_path / "m", *SAID).exit_code == 0
    )
    card = load_card(tmp_path / "m")
    assert card.input.batch == batch
    pixels = np.random.default_rng(0).integers(0, 256, (35, 64, 64, 3), np.uint8)
    red = pixels[..., 0].mean((1, 2)) / 255
    wanted = 1 / (1 + np.exp(-red))
    for device in ("cpu", "openvino"):
        try:
            runtime = open_runtime(card, RuntimeRequest(device))
        except DeviceError:  # not installed here
            continue
        found = [p.scores[:, 0] for p in runtime.predict([TileBatch("s", np.arange(35), pixels)])]
        assert np.allclose(np.concatenate(found), wanted, atol=1e-6)


def test_weights_of_a_hub_s_usual_name_are_called_as_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep-one").mkdir()
    weights = written(tmp_path / "deep-one" / "model.onnx", red_network())
    monkeypatch.chdir(tmp_path / "deep-one")
    assert init("model.onnx", *SAID).exit_code == 0
    assert load_card(tmp_path / "deep-one" / "deep-one").ref.name == "deep-one"
    monkeypatch.chdir(tmp_path)
    assert init(weights, *SAID).exit_code == 0  # beside the weights, which are not copied
    assert load_card(tmp_path / "deep-one").weights == Path("deep-one/model.onnx").absolute()


def test_an_unfinished_draft_is_gone_on_with(tmp_path: Path) -> None:
    weights = written(tmp_path / "a.onnx", red_network())
    assert init(weights, "--out", tmp_path / "m", *SAID[2:], "--set", "version=2").exit_code == 0
    other = written(tmp_path / "b.onnx", red_network())
    assert "has a model.toml of other weights" in init(other, "--out", tmp_path / "m").stderr
    written_down = (tmp_path / "m" / "model.toml").read_text()
    for broken in (written_down.replace("[output]", "[other]"), "output = 3\nname = 'TODO'", "="):
        (tmp_path / "m" / "model.toml").write_text(broken)
        assert init(weights, "--out", tmp_path / "m").exit_code == 2
    (tmp_path / "m" / "model.toml").write_text(written_down)
    done = init(weights, "--out", tmp_path / "m", "--mpp", 0.25)
    assert "complete; now: wsi-ai run" in done.stdout
    card = load_card(tmp_path / "m")
    assert (card.ref.version, card.tile.mpp, card.classes) == ("2", 0.25, ("red",))


@pytest.mark.parametrize(
    ("output", "task", "told"),
    [
        (["n", 2, 64, 64], None, {"task": "segmentation", "stride_px": 48, "margin_px": "TODO"}),
        (["n", 2, 16, 16], None, {"task": "segmentation", "scale": 0.25}),
        (["n", 100, 6], None, {"task": "detection", "objects": 100, "form": "TODO"}),
        (["n", 384], "embedding", {"task": "embedding", "features": 384}),
        (["n", 384], None, {"task": "tile-classification", "classes": "TODO"}),
    ],
)
def test_the_output_says_the_task_or_fits_the_one_that_is_said(
    tmp_path: Path, output: list[Any], task: str | None, told: dict[str, Any]
) -> None:
    weights = written(tmp_path / "a.onnx", shaped(["n", 3, 64, 64], output=output))
    words = ["--set", f"task={task}"] if task else []
    assert init(weights, "--out", tmp_path / "m", *words).exit_code == 0
    table = tomllib.loads((tmp_path / "m" / "model.toml").read_text())
    said = {**table, **table["input"], **table["output"]}
    for name, value in told.items():
        assert said[name] == value or (value == "TODO" and said[name].startswith("TODO"))
    assert ("operating_point" in table) == (task != "embedding")


@pytest.mark.parametrize("task", ["segmentation", "detection", "slide-classification"])
def test_a_task_that_the_output_is_not_of_is_told(tmp_path: Path, task: str) -> None:
    weights = written(tmp_path / "a.onnx", red_network())
    done = init(weights, "--out", tmp_path / "m", "--set", f"task={task}")
    assert done.exit_code == 2
    assert f"task: the network gives [1] a tile: no {task}" in done.stderr or (
        "task: slide-classification needs a second network" in done.stderr
    )


def test_a_free_segmentation_takes_the_window_that_pays(tmp_path: Path) -> None:
    network = shaped(["n", 3, "h", "w"], output=["n", 2, "h", "w"])
    words = ["--mpp", 1, "--classes", "a,b", "--positive", "a", "--threshold", 0.5, *SAID[8:]]
    words += [w for f in ("input.mean=0,0,0", "input.std=1,1,1") for w in ("--set", f)]
    words += ["--set", "output.activation=softmax", "--set", "output.margin_px=8"]
    done = init(written(tmp_path / "a.onnx", network), "--out", tmp_path / "m", *words)
    assert done.exit_code == 0
    assert "complete" in done.stdout
    assert load_card(tmp_path / "m").tile.size_px == 512


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
    assert {
        line.strip().partition(": ")[0]
        for line in done.stdout.splitlines()
        if line.startswith("  ")
    } == left
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
            "operating_point.class: 'blue' is none of output.classes ['red']",
        ),
        (["--threshold", "60"], "operating_point.threshold: 60.0 is greater than or equal to"),
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
    answers = ["wide", "0.5", "sigmoid", "red", "blue", "red", "0.25", *["said"] * 8, ""]
    done = init(weights, "--out", tmp_path / "m", answers="\n".join(answers) + "\n")
    assert done.exit_code == 0
    assert "input.mpp: micrometres per pixel" in done.stdout
    assert "input.mpp: 'wide' is no number" in done.stdout
    assert "operating_point.class: 'blue' is none of output.classes ['red']" in done.stdout
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


def test_a_persons_remarks_stay_when_the_draft_is_gone_on_with(tmp_path: Path) -> None:
    weights = written(tmp_path / "a.onnx", red_network())
    assert init(weights, "--out", tmp_path / "m").exit_code == 0
    card = tmp_path / "m" / "model.toml"
    text = card.read_text("utf-8")
    lines = text.replace("\n[input]\n", "\n# of the paper\n[input]  # as trained\n").splitlines()
    lines = [f"{line}  # asked by mail" if line.startswith("mpp") else line for line in lines]
    card.write_text("\n".join(lines) + "\n# the end\n", "utf-8")
    assert init(weights, "--out", tmp_path / "m", "--mpp", "0.5").exit_code == 0
    now = card.read_text("utf-8")
    for remark in ("# of the paper", "[input]  # as trained", "# asked by mail", "# the end"):
        assert remark in now
    assert "mpp = 0.5  # asked by mail" in now
    assert now.count("# Drafted by wsi-ai") == 1


def test_a_single_number_says_nothing_of_what_is_left_to_do(tmp_path: Path) -> None:
    written(tmp_path / "a.onnx", red_network())
    init(tmp_path / "a.onnx", "--out", tmp_path / "m")
    table = tomllib.loads((tmp_path / "m" / "model.toml").read_text("utf-8"))
    assert table["output"]["activation"].startswith("TODO")


def test_of_several_outputs_the_one_asked_for_is_taken_and_others_are_told(tmp_path: Path) -> None:
    network = red_network()
    network.graph.output.append(helper.make_tensor_value_info("share", T.FLOAT, ["n"]))
    weights = written(tmp_path / "a.onnx", network)
    done = init(weights, "--out", tmp_path / "m", *SAID, "--set", "output.name=share")
    assert done.exit_code == 0
    assert load_card(tmp_path / "m").output.name == "share"
    assert "# another output: score ['n', 1]" in (tmp_path / "m" / "model.toml").read_text("utf-8")
    wrong = init(weights, "--out", tmp_path / "n", *SAID, "--set", "output.name=other")
    assert "no output 'other' but score ['n', 1], share ['n']" in wrong.stderr


def test_numbers_that_come_as_a_picture_of_one_pixel_are_a_tile_classification(
    tmp_path: Path,
) -> None:
    network = red_network()
    network.graph.node[-1].input[1] = "square"
    network.graph.initializer.append(from_array(np.array([-1, 1, 1, 1]), "square"))
    network.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("score", T.FLOAT, ["n", 1, 1, 1])
    )
    weights = written(tmp_path / "a.onnx", network)
    assert init(weights, "--out", tmp_path / "m", *SAID).exit_code == 0
    card = load_card(tmp_path / "m")
    tiles = np.full((3, 64, 64, 3), 51, np.uint8)
    (got,) = open_runtime(card, RuntimeRequest("cpu")).predict(
        [TileBatch("s", np.arange(3), tiles)]
    )
    assert (card.task, got.scores.shape) == ("tile-classification", (3, 1))


def test_links_of_a_hubs_cache_are_followed_and_the_model_has_its_repositorys_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--some-lab--deep-one"
    snapshot = repository / "snapshots" / "0123abcd"
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    in_parts(tmp_path)
    for name, blob in (("model.onnx", "aa"), ("b", "bb")):
        source = tmp_path / ("a.onnx" if name == "model.onnx" else name)
        source.rename(repository / "blobs" / blob)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob))
    monkeypatch.chdir(tmp_path)
    done = init(snapshot / "model.onnx", *SAID)
    assert done.exit_code == 0, done.stderr
    assert load_card(tmp_path / "deep-one").ref.name == "deep-one"
    open_runtime(load_card(tmp_path / "deep-one"), RuntimeRequest("cpu"))


def test_a_link_out_of_a_models_folder_is_followed_by_nobody(tmp_path: Path) -> None:
    in_parts(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "a.onnx").rename(tmp_path / "m" / "a.onnx")
    (tmp_path / "m" / "b").symlink_to(tmp_path / "b")
    done = init(tmp_path / "m" / "a.onnx", "--out", tmp_path / "n", *SAID)
    assert "put that file beside it" in done.stderr


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_model_of_keras_is_named_as_such(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "h5":
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 90)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("metadata.json", "config.json", "model.weights.h5"):
                archive.writestr(name, "{}")
    assert "is a model of Keras, which is not run here; export it" in init(path).stderr
