"""PyTorch's files: what loads, what is refused, and what it says."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.inference.torch_models import Nets, Red, write_torch_model  # noqa: E402
from wsi_ai.core.cards import Precision, RuntimeRequest  # noqa: E402
from wsi_ai.errors import DeviceError, ModelError  # noqa: E402
from wsi_ai.inference.registry import open_runtime  # noqa: E402
from wsi_ai.inference.torch.programs import checked_program  # noqa: E402
from wsi_ai.models.manifest import load_card  # noqa: E402
from wsi_ai.testing.runtime_contract import Arena  # noqa: E402

CPU = RuntimeRequest("cpu")


@pytest.fixture(scope="module")
def pt2() -> bytes:
    return Nets(Red(), torch.zeros(2, 3, 64, 64)).pt2()


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("boom"),)


def test_a_pt2_file_of_plain_tensors_is_taken_as_it_is(pt2: bytes) -> None:
    assert checked_program("a.pt2", pt2)


def with_member(pt2: bytes, name: str, data: bytes) -> bytes:
    """The archive with one member more, or another in its place."""
    source, target = zipfile.ZipFile(io.BytesIO(pt2)), io.BytesIO()
    root = source.namelist()[0].partition("/")[0]
    with zipfile.ZipFile(target, "w") as archive:
        for member in source.namelist():
            if member != f"{root}/{name}":
                archive.writestr(member, source.read(member))
        archive.writestr(f"{root}/{name}", data)
    return target.getvalue()


def config(**entry: object) -> bytes:
    return json.dumps({"config": {"w": entry}}).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("data/weights/model.pt", pickle.dumps(Boom())),
        ("data/constants/opaque_obj_0", pickle.dumps(Boom())),
        ("data/constants/custom_obj_0", b"PK"),
        ("data/aotinductor/model/wrapper.so", b"\x7fELF"),
        ("extra/notes.txt", b"?"),
        ("data/weights/model_weights_config.json", config(path_name="weight_0", use_pickle=True)),
        (
            "data/constants/model_constants_config.json",
            config(path_name="opaque_obj_0", use_pickle=False),
        ),
    ],
)
def test_a_pt2_file_that_could_run_code_is_refused_unopened(
    pt2: bytes, name: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_torch_model(tmp_path / "m", with_member(pt2, name, data), "pt2")
    with pytest.raises(ModelError, match="could run code"):
        open_runtime(load_card(folder), CPU)
    assert not Path("boom").exists()


def test_pickled_sample_inputs_are_refused_unopened(
    pt2: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save((Boom(),), buffer)
    content = with_member(pt2, "data/sample_inputs/model.pt", buffer.getvalue())
    folder = write_torch_model(tmp_path / "m", content, "pt2")
    with pytest.raises(ModelError, match="does not load"):
        open_runtime(load_card(folder), CPU)
    assert not Path("boom").exists()


@pytest.mark.parametrize("kind", ["pt2", "torchscript"])
def test_a_file_that_is_no_network_is_refused(kind: str, tmp_path: Path) -> None:
    folder = write_torch_model(tmp_path / "m", b"not a network", kind)
    with pytest.raises(ModelError, match="does not load"):
        open_runtime(load_card(folder), CPU)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_state_dict_of_a_named_architecture_scores_as_the_network_does(
    tmp_path: Path, suffix: str
) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    torch.manual_seed(0)
    network = models.squeezenet1_1(weights=None, num_classes=2).eval()
    content = saved(network.state_dict(), suffix)
    folder = write_torch_model(
        tmp_path / "m", content, "state-dict", f"weights.{suffix}",
        architecture="torchvision/squeezenet1_1", activation="softmax",
        classes='["red", "blue"]',
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    (got,) = open_runtime(load_card(folder), CPU).predict(Arena(pixels, [3]))
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(got.scores, logits.softmax(1).numpy(), atol=1e-5)


def saved(weights: dict[str, object], suffix: str) -> bytes:
    if suffix == "safetensors":
        save = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save
        return bytes(save(weights))
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def test_a_state_dict_that_could_run_code_is_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    monkeypatch.chdir(tmp_path)
    content = saved({"weight": Boom()}, "pt")
    folder = write_torch_model(
        tmp_path / "m", content, "state-dict", architecture="torchvision/squeezenet1_1"
    )
    with pytest.raises(ModelError, match="holds more than tensors: loading it runs whatever code"):
        open_runtime(load_card(folder), CPU)
    assert not Path("boom").exists()


TRUSTED = RuntimeRequest("cpu", trust_pickle=True)


def test_a_pickled_network_runs_only_where_it_is_trusted(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(Red(), buffer)
    card = load_card(write_torch_model(tmp_path / "m", buffer.getvalue(), "pickle"))
    with pytest.raises(ModelError, match=r"weights\.pt is a pickle: .* give --trust-pickle"):
        open_runtime(card, CPU)
    pixels = np.full((1, 64, 64, 3), 51, np.uint8)
    (got,) = open_runtime(card, TRUSTED).predict(Arena(pixels, [1]))
    np.testing.assert_allclose(got.scores, [[0.2]], atol=1e-6)


def test_a_trusted_pickle_that_is_no_network_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"epoch": 3}, buffer)
    card = load_card(write_torch_model(tmp_path / "m", buffer.getvalue(), "pickle"))
    with pytest.raises(ModelError, match="holds no network but a dict"):
        open_runtime(card, TRUSTED)


def test_a_training_checkpoint_scores_as_its_state_dict_does(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    torch.manual_seed(0)
    network = models.squeezenet1_1(weights=None, num_classes=1).eval()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    folder = write_torch_model(
        tmp_path / "m", saved({"epoch": 3, "state_dict": state}, "pt"), "state-dict",
        architecture="torchvision/squeezenet1_1", activation="sigmoid",
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    (got,) = open_runtime(load_card(folder), CPU).predict(Arena(pixels, [2]))
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(got.scores, logits.sigmoid().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"classes": '["red", "blue"]'}, r"its card asks for \(2, 2\)"),
        ({"dtype": "uint8", "layout": "nhwc"}, "does not take what its card says"),
    ],
)
def test_a_card_that_does_not_fit_its_network_is_refused(
    pt2: bytes, tmp_path: Path, fields: dict[str, str], told: str
) -> None:
    folder = write_torch_model(tmp_path / "m", pt2, "pt2", **fields)
    with pytest.raises(ModelError, match=told):
        open_runtime(load_card(folder), CPU)


def test_a_precision_that_the_processor_lacks_is_refused(pt2: bytes, tmp_path: Path) -> None:
    card = load_card(write_torch_model(tmp_path / "m", pt2, "pt2"))
    can = torch.cpu.get_capabilities()
    for precision, flags in (
        (Precision.FP16, ("avx512_fp16", "amx_fp16")),
        (Precision.BF16, ("avx512_bf16", "amx_bf16")),
    ):
        if any(can.get(flag) for flag in flags):
            said = open_runtime(card, RuntimeRequest("cpu", precision)).description
            assert said.endswith(precision)
        else:
            with pytest.raises(DeviceError, match="no instructions"):
                open_runtime(card, RuntimeRequest("cpu", precision))
