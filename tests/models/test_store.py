"""The model store: what was added is what runs, or nothing is."""

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model
from wsi_ai.errors import ModelError, OutputError
from wsi_ai.models.approval import approved_model, find_model
from wsi_ai.models.site import Site
from wsi_ai.models.store import ModelStore, content_digest, digests


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "made" / "red", red_network())


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def test_a_model_in_the_store_has_the_bytes_that_were_added(model: Path, store: ModelStore) -> None:
    (model / "notes").mkdir()
    (model / "notes" / "paper.txt").write_text("p")
    entry = store.add(model)
    found = store.check(store.find("red@1.0.0"))
    assert found == entry.folder
    names = [path.relative_to(model) for path in model.rglob("*") if path.is_file()]
    assert {n.as_posix() for n in names} == {"model.toml", "weights.onnx", "notes/paper.txt"}
    for name in names:
        assert (found / name).read_bytes() == (model / name).read_bytes()
    shutil.rmtree(model)
    assert store.check(store.find("red")) == found


def test_the_address_is_the_digest_of_every_files_digest(model: Path, store: ModelStore) -> None:
    files = {
        name: hashlib.sha256((model / name).read_bytes()).hexdigest()
        for name in ("model.toml", "weights.onnx")
    }
    assert digests(model) == files
    expected = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    assert store.add(model).folder == store.place / "content" / expected
    assert content_digest(files) == expected


def grow(folder: Path) -> None:
    with (folder / "weights.onnx").open("ab") as file:
        file.write(b"\0")


def edit_card(folder: Path) -> None:
    card = folder / "model.toml"
    card.write_text(card.read_text().replace("threshold = 0.5", "threshold = 0.9"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (grow, "weights.onnx changed"),
        (edit_card, "model.toml changed"),
        (lambda folder: (folder / "weights.onnx").unlink(), "weights.onnx changed"),
        (lambda folder: (folder / "golden.json").write_text("{}"), "golden.json changed"),
    ],
)
def test_a_model_that_changed_on_disk_is_not_run(
    model: Path, store: ModelStore, change: Callable[[Path], None], told: str
) -> None:
    entry = store.add(model)
    for path in entry.folder.iterdir():
        path.chmod(0o644)
    change(entry.folder)
    with pytest.raises(ModelError, match=rf"red@1\.0\.0 is not what was added to the .*{told}"):
        approved_model(Path("red"), Site(store.place))


def test_the_same_model_twice_is_one_and_other_content_needs_another_version(
    model: Path, store: ModelStore
) -> None:
    assert store.add(model) == store.add(model)
    edit_card(model)
    with pytest.raises(ModelError, match=r"red@1\.0\.0 is in the store with other content"):
        store.add(model)
    assert "threshold = 0.5" in (store.find("red").folder / "model.toml").read_text()
    card = model / "model.toml"
    card.write_text(card.read_text().replace('version = "1.0.0"', 'version = "1.1.0"'))
    store.add(model)
    with pytest.raises(ModelError, match=r"several versions of red; .*red@1\.0\.0, red@1\.1\.0"):
        store.find("red")
    assert store.find("red@1.1.0").version == "1.1.0"


def test_models_added_at_once_are_all_there_and_whole(tmp_path: Path, store: ModelStore) -> None:
    network = red_network()
    models = [write_model(tmp_path / f"m{n}", network, name=f"m{n % 3}") for n in range(9)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ModelStore(store.place).add, models))
    assert [entry.name for entry in store.entries()] == ["m0", "m1", "m2"]
    for entry in store.entries():
        store.check(entry)


def test_a_model_is_added_whole_or_not_at_all(model: Path, store: ModelStore) -> None:
    aside = store.place / ".incoming"
    aside.mkdir(parents=True)
    (aside / "left-by-a-killed-process").write_text("x")
    grow(model)
    with pytest.raises(ModelError, match="is not the approved file"):
        store.add(model)
    assert store.entries() == []
    write_model(model, red_network())
    entry = store.add(model)
    assert set(digests(entry.folder)) == {"model.toml", "weights.onnx"}
    assert not aside.exists()


def test_a_link_is_refused_for_what_it_leads_to_could_change(
    tmp_path: Path, model: Path, store: ModelStore
) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (model / "notes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="notes in the model's folder is a link"):
        store.add(model)


def test_removing_a_model_leaves_the_others(tmp_path: Path, model: Path, store: ModelStore) -> None:
    entry = store.add(model)
    other = store.add(write_model(tmp_path / "b", red_network(), name="blue"))
    store.remove(entry)
    assert not entry.folder.exists()
    assert [str(e) for e in store.entries()] == ["blue@1.0.0"]
    store.check(other)
    with pytest.raises(ModelError, match="no model red in the store"):
        store.find("red")


def test_a_store_that_cannot_be_written_says_so(model: Path) -> None:
    with pytest.raises(OutputError, match="the model store cannot be changed"):
        ModelStore(Path("/proc/store")).add(model)


def test_a_folder_is_meant_before_a_name_and_an_unknown_name_is_told(
    tmp_path: Path, model: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = store.add(model)
    site = Site(store.place)
    monkeypatch.chdir(tmp_path)
    assert find_model(Path("red"), site) == entry.folder
    write_model(tmp_path / "red", red_network())
    assert find_model(Path("red"), site) == Path("red")
    with pytest.raises(ModelError, match="no model card: there is no folder green, and no model"):
        find_model(Path("green"), site)
    with pytest.raises(ModelError, match="no model card"):
        find_model(Path("red@2"), site)


def test_a_damaged_record_is_told(model: Path, store: ModelStore) -> None:
    store.add(model)
    (store.place / "names" / "red@1.0.0.json").write_text("{")
    with pytest.raises(ModelError, match=r"red@1\.0\.0\.json in the model store is damaged"):
        store.find("red")
