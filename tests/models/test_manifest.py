import hashlib
from pathlib import Path

import onnx
import pytest

from tests.models_for_tests import product_network, red_network, write_model
from wsi_ai.core.cards import Layout, Resampling, Role, Scope
from wsi_ai.errors import ModelError
from wsi_ai.models.manifest import load_card


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "red", red_network(), layout="nhwc", mpp=1)


def test_the_card_says_what_the_file_says(model: Path) -> None:
    card = load_card(model)
    assert (card.ref.name, card.ref.version) == ("red", "1.0.0")
    assert (card.tile.size_px, card.tile.mpp, card.tile.stride_px) == (64, 1.0, 64)
    assert card.input.layout is Layout.NHWC
    assert card.classes == ("red",)
    assert (card.point.label, card.point.threshold) == ("red", 0.5)
    assert card.weights.is_file()


def test_who_does_not_ask_gets_exact_decoding_and_who_asks_gets_the_codecs_own_shrinking(
    model: Path,
) -> None:
    assert load_card(model).tile.resampling is Resampling.AREA
    card = model / "model.toml"
    card.write_text(card.read_text().replace("[input]", '[input]\nresampling = "dct"', 1))
    assert load_card(model).tile.resampling is Resampling.DCT


def test_changed_weights_are_refused(model: Path) -> None:
    with (model / "weights.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=r"weights\.onnx is not the approved file"):
        load_card(model)


def test_a_policy_of_the_models_own_is_refused_once_it_was_changed(model: Path) -> None:
    assert load_card(model).policy is None
    policy, card = model / "own.toml", model / "model.toml"
    policy.write_text('name = "own"')
    digest = hashlib.sha256(policy.read_bytes()).hexdigest()
    card.write_text(f'{card.read_text()}\n[policy]\npath = "own.toml"\nsha256 = "{digest}"\n')
    assert load_card(model).policy == policy
    policy.write_text('name = "another"')
    with pytest.raises(ModelError, match=r"own\.toml is not the approved file: policy\.sha256"):
        load_card(model)
    card.write_text(card.read_text().replace("own.toml", "../own.toml"))
    with pytest.raises(ModelError, match=r"policy\.path: leads out of the model's folder"):
        load_card(model)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('version = "1.0.0"', "", "version: 'version' is a required property"),
        ("size_px = 64", "size_px = 64.5", "input.size_px: 64.5 is not of type 'integer'"),
        ("mpp = 1", "mpp = 0", "input.mpp: 0 is less than or equal to the minimum of 0"),
        ("threshold = 0.5", "threshold = 1.0", "operating_point.threshold: 1.0 is greater"),
        ('layout = "nhwc"', 'layout = "hwc"', "input.layout: 'hwc' is not one of"),
        ('class = "red"', 'class = "blue"', "operating_point.class: 'blue' is none of"),
        ('activation = "none"', 'activation = "softmax"', "output.activation: softmax over"),
        (
            "[input]",
            "[input]\nsise = 3",
            "input.sise: there is no such field",
        ),
        ('path = "weights.onnx"', 'path = "../x"', "leads out of the model's folder"),
        ('path = "weights.onnx"', 'path = "other"', "weights.path: other: No such file"),
        ('name = "red"', 'name = "../red"', "name: '../red' does not match"),
        ("[input]", "[input", "is not valid TOML"),
        ("size_px = 64", "size_px = true", "input.size_px: True is not of type 'integer'"),
        ("mpp = 1", "", "input.mpp: 'mpp' is a required property"),
        ("mpp = 1", 'mpp = "TODO"', "still to be filled in (TODO): input.mpp"),
        ('["red"]', '["red", "TODO: a"]', "still to be filled in (TODO): output.classes"),
        ('task = "tile', 'task = "mind', "task: 'mind-classification' is not one of"),
        ("[card]", '[scope]\nstein = "H&E"\n[card]', "scope.stein: there is no such field"),
        ("[card]", "[scope]\nstain = []\n[card]", "scope.stain: []"),
        ("[card]", "[scope]\nmpp = [0.5, 0.2]\n[card]", "scope.mpp: the finest comes first"),
        ("[card]", "[scope]\nmpp = [1.2, 2]\n[card]", "scope.mpp: no slide in it has the 1.1 µm"),
        ("[card]", '[scope]\noutside = "standard"\n[card]', "scope.outside: 'not_assessed' was"),
        ("[card]", '[output.roles]\nblue = "tissue"\n[card]', "output.roles: 'blue' is none of"),
        ("[card]", '[output.roles]\nred = "tissue"\n[card]', "output.roles.red: must be positive"),
        ("[card]", '[output.roles]\nred = "good"\n[card]', "output.roles.red: 'good' is not one"),
        ("mpp = 1", "mpp = 1\nmean = [0, 0, 0]", "input.dtype: a uint8 network gets pixels as"),
        ("mpp = 1", 'mpp = 1\nparity = "wsinfer"\nstride_px = 9', "input.parity: wsinfer reads"),
    ],
)
def test_a_wrong_card_is_refused_naming_file_and_field(
    model: Path, old: str, new: str, told: str
) -> None:
    card = model / "model.toml"
    assert old in card.read_text()
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(ModelError) as refused:
        load_card(model)
    assert "red/model.toml" in str(refused.value)
    assert told in str(refused.value)


def test_scope_roles_and_output_are_read(model: Path) -> None:
    card = model / "model.toml"
    more = """[output.roles]
red = "positive"
[scope]
stain = "H&E"
organ = ["colon", "rectum"]
scanners = ["Aperio"]
mpp = [0.2, 0.6]
[card]"""
    text = card.read_text().replace("[card]", more).replace("[output]", '[output]\nname = "score"')
    card.write_text(text)
    read = load_card(model)
    assert read.scope == Scope(("H&E",), ("colon", "rectum"), (), ("Aperio",), (0.2, 0.6))
    assert (read.roles, read.output.name) == ((("red", Role.POSITIVE),), "score")


def test_an_onnx_file_that_keeps_tensors_elsewhere_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "apart.onnx"
    onnx.save_model(
        product_network(), place, save_as_external_data=True, location="tensors", size_threshold=99
    )
    model = write_model(tmp_path / "model", place.read_bytes())
    with pytest.raises(ModelError, match="keeps tensors in other files"):
        load_card(model)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model card: .*/model.toml: No such file"):
        load_card(tmp_path)
