"""What lies in a model's folder, a store or a site's settings was put there by somebody.

``python -m tests.models.test_attacks`` prints how many instances of each kind are tried.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from tests.models_for_tests import product_network, red_network, write_model
from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.errors import ModelError, PolicyError, WsiAiError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.approval import Approved, approved_card
from wsi_ai.models.drafts import inspect_weights
from wsi_ai.models.golden import load_golden
from wsi_ai.models.manifest import load_card
from wsi_ai.models.site import Site, load_site
from wsi_ai.models.store import ModelStore, content_digest

CPU = RuntimeRequest("cpu")
SOON_S = 2.0
"""A second, and one more for a busy machine."""


# Issue 14, 9: what was checked is what is used


def test_weights_that_change_after_their_check_are_not_loaded(tmp_path: Path) -> None:
    card = load_card(write_model(tmp_path / "m", red_network()))
    (tmp_path / "m" / "weights.onnx").write_bytes(product_network().SerializeToString())
    with pytest.raises(ModelError, match="not the approved file"):
        open_runtime(card, CPU)


def golden_of(folder: Path) -> Path:
    tiles = np.full((1, 64, 64, 3), 51, np.uint8)
    digest = hashlib.sha256((folder / "weights.onnx").read_bytes()).hexdigest()
    entry = {"sha256": hashlib.sha256(tiles.tobytes()).hexdigest(), "scores": [0.2]}
    table = {"schema_version": "1", "weights_sha256": digest, "made_by": "x", "sheet": "golden.jpg"}
    (folder / "golden.json").write_text(json.dumps({**table, "tiles": [entry] * 2}))
    return folder / "golden.json"


@pytest.mark.parametrize("swapped", ["changed", "taken away"])
def test_golden_scores_that_change_after_their_check_are_not_used(
    tmp_path: Path, swapped: str
) -> None:
    path = golden_of(write_model(tmp_path / "m", red_network()))
    card = load_card(tmp_path / "m")
    path.write_text(path.read_text() + " ") if swapped == "changed" else path.unlink()
    with pytest.raises(ModelError, match=f"{swapped} since the card was read"):
        load_golden(card)


@pytest.mark.parametrize("name", ["model.toml", "golden.json"])
def test_a_card_that_was_read_before_or_after_its_approval_is_held_to_it(
    tmp_path: Path, name: str
) -> None:
    folder = write_model(tmp_path / "m", red_network())
    golden_of(folder)
    whole = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest()
             for n in ("model.toml", "golden.json")}  # fmt: skip
    assert Approved(folder, (whole,)).hold(load_card(folder))
    (folder / name).write_text((folder / name).read_text() + "\n")
    with pytest.raises(ModelError, match=f"not what was approved: {name}"):
        Approved(folder, (whole,)).hold(load_card(folder))


def test_a_model_of_the_store_runs_as_it_was_added(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    entry = store.add(write_model(tmp_path / "m", red_network()))
    card = approved_card(Path(str(entry)), Site(tmp_path / "store"))
    assert card.manifest_sha256 == entry.files["model.toml"]


# Issue 14, 12: bounded, and soon


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def ten_gigabytes(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(10 << 30)


def round_in_a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


HOSTILE = [pipe, device, folder_instead, ten_gigabytes, round_in_a_circle]


@pytest.mark.parametrize("make", HOSTILE)
@pytest.mark.parametrize("name", ["weights.onnx", "model.toml", "golden.json"])
def test_what_is_no_usual_file_is_refused_soon(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    folder = write_model(tmp_path / "m", red_network())
    golden_of(folder)
    make(folder / name)
    began = time.monotonic()
    with pytest.raises(ModelError):
        load_golden(load_card(folder))
    if name == "weights.onnx":
        with pytest.raises(WsiAiError):
            inspect_weights(folder / name)
        with pytest.raises(WsiAiError):
            ModelStore(tmp_path / "store").add(folder)
    assert time.monotonic() - began < SOON_S


def test_a_name_with_a_nul_is_a_wrong_name(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", red_network())
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace("weights.onnx", "weights\\u0000.onnx"))
    with pytest.raises(ModelError, match="no name of a file"):
        load_card(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, (1 << 62).to_bytes(8, "little") + b"{}", b"PK\x03\x04" + b"\0" * 90,
     (2).to_bytes(8, "little") + b"{}" + b"x" * 9],
)  # fmt: skip
def test_false_safetensors_are_refused_soon(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    (tmp_path / "a.safetensors").write_bytes(content)
    inspect_soon = time.monotonic()
    try:
        seen = inspect_weights(tmp_path / "a.safetensors")
    except ModelError:
        pass
    else:
        assert seen.architecture is None
    assert time.monotonic() - inspect_soon < 5  # with the import of torch


# ONNX: what is not in the file, and what is too large


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/hostname", "sub/../../secret", "/proc/self/environ", "x\x00y"]
)
def test_tensors_outside_the_folder_are_read_by_nobody(tmp_path: Path, location: str) -> None:
    network = product_network()
    (tmp_path / "secret").write_bytes(b"\0" * (64 * 64 * 3 * 4))
    tensor = network.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorLocation
    for key, value in (("location", location), ("offset", "0"), ("length", "49152")):
        tensor.external_data.add(key=key, value=value)
    content = network.SerializeToString()
    folder = write_model(tmp_path / "m", content)
    with pytest.raises(ModelError, match="keeps tensors in other files"):
        load_card(folder)
    with pytest.raises(ModelError, match="which is not beside it"):
        inspect_weights(folder / "weights.onnx")
    plain = load_card(write_model(tmp_path / "plain", red_network()))
    shutil.copy(folder / "weights.onnx", plain.weights)
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(ModelError, match="does not load"):
        open_runtime(replaced(plain, digest), CPU)


TensorLocation = T.EXTERNAL


def replaced(card: object, digest: str) -> object:
    import dataclasses

    return dataclasses.replace(card, ref=dataclasses.replace(card.ref, sha256=digest))


@pytest.mark.parametrize(
    ("op", "domain"), [("Gather2", "my.library"), ("EPContext", "com.microsoft"), ("Add", "x")]
)
def test_operators_of_other_libraries_are_refused_and_no_library_is_loaded(
    tmp_path: Path, op: str, domain: str
) -> None:
    network = red_network()
    network.graph.node.append(helper.make_node(op, ["score"], ["after"], domain=domain))
    network.opset_import.add(domain=domain, version=1)
    folder = write_model(tmp_path / "m", network)
    with pytest.raises(ModelError, match=f"needs the operator {op} of {domain}"):
        open_runtime(load_card(folder), CPU)
    with pytest.raises(ModelError, match=f"needs the operator {op} of {domain}"):
        inspect_weights(folder / "weights.onnx")


def promised(kind: str) -> onnx.ModelProto:
    """A small file that promises 10 GB."""
    network = red_network()
    many = np.array([50_000, 50_000], np.int64)
    if kind == "an initializer":
        tensor = T()
        tensor.name, tensor.data_type = "large", T.FLOAT
        tensor.dims.extend([50_000, 50_000])
        network.graph.initializer.append(tensor)
    else:
        network.graph.initializer.append(numpy_helper.from_array(many, "many"))
        network.graph.node.insert(0, helper.make_node("ConstantOfShape", ["many"], ["large"]))
    network.graph.node.append(helper.make_node("ReduceMean", ["large"], ["mean2"], keepdims=0))
    network.graph.node.append(helper.make_node("Mul", ["score", "mean2"], ["less"]))
    network.graph.output[0].name = "less"
    return network


@pytest.mark.parametrize("kind", ["an initializer"])
def test_a_file_that_promises_ten_gigabytes_is_refused_soon(tmp_path: Path, kind: str) -> None:
    card = load_card(write_model(tmp_path / "m", promised(kind)))
    began = time.monotonic()
    with pytest.raises(WsiAiError):
        open_runtime(card, CPU)
    assert time.monotonic() - began < SOON_S


# Issue 14, 13: the store and the site


@pytest.mark.parametrize(
    "digest", ["../../victim", "..", "", "/etc", "a" * 63, "A" * 64, "0" * 64, 5, None, ["x"]]
)
def test_a_forged_record_makes_the_store_touch_nothing(tmp_path: Path, digest: object) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("x")
    store = ModelStore(tmp_path / "store")
    entry = store.add(write_model(tmp_path / "m", red_network()))
    record = tmp_path / "store" / "names" / f"{entry}.json"
    record.write_text(json.dumps({"digest": digest, "files": entry.files}))
    with pytest.raises(ModelError, match="is damaged; remove that file"):
        store.remove(store.find(str(entry)))
    assert (victim / "kept").exists()
    assert entry.folder.is_dir()


@given(files=st.dictionaries(st.text(max_size=9), st.text(max_size=70), max_size=3))
def test_only_records_that_name_their_own_content_are_read(
    files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp() / "forged"
    (place / "names").mkdir(parents=True, exist_ok=True)
    record = {"digest": content_digest(files), "files": files}
    (place / "names" / "m@1.json").write_text(json.dumps(record))
    sound = all(re.fullmatch("[0-9a-f]{64}", digest) for digest in files.values())
    if sound:
        assert ModelStore(place).entries()
    else:
        with pytest.raises(ModelError, match="damaged"):
            ModelStore(place).entries()


def test_a_content_that_is_a_link_is_not_followed_when_it_is_removed(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    entry = store.add(write_model(tmp_path / "m", red_network()))
    shutil.rmtree(entry.folder)
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "kept").write_text("x")
    entry.folder.symlink_to(tmp_path / "victim")
    store.remove(entry)
    assert (tmp_path / "victim" / "kept").exists()


@pytest.mark.parametrize("other", ["", "[models]\n", '[models]\nstore = "s"\n'])
def test_no_environment_takes_the_systems_keys_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    system, mine = tmp_path / "etc.toml", tmp_path / "mine.toml"
    system.write_text('[models]\ntrusted_keys = "keys"\n')
    mine.write_text(other)
    monkeypatch.setenv("WSI_AI_SITE", str(mine))
    monkeypatch.delenv("WSI_AI_TRUSTED_KEYS", raising=False)
    assert load_site(None, system).trusted_keys == (tmp_path / "keys",)
    assert load_site(tmp_path / "k", system).trusted_keys == (tmp_path / "keys", tmp_path / "k")


def test_settings_of_the_system_that_cannot_be_read_are_no_leave(tmp_path: Path) -> None:
    (tmp_path / "etc.toml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PolicyError, match="no site settings"):
        load_site(None, tmp_path / "etc.toml")
