"""Encoders as Hugging Face has them: their card, and the vectors that their own library gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

import safetensors.torch as safetensors  # noqa: E402

from wsi_ai.cli import app  # noqa: E402
from wsi_ai.core.cards import ModelCard, Pool, RuntimeRequest, Task  # noqa: E402
from wsi_ai.errors import ModelError  # noqa: E402
from wsi_ai.inference.registry import open_runtime  # noqa: E402
from wsi_ai.inference.torch.encoders import Pooled  # noqa: E402
from wsi_ai.inference.torch.weights import build  # noqa: E402
from wsi_ai.models.drafts.encoders import load_encoder  # noqa: E402
from wsi_ai.models.manifest import load_card  # noqa: E402
from wsi_ai.testing.runtime_contract import Arena  # noqa: E402

TEXTS = ["scope.stain", "scope.organ", "card.intended_use", "card.licence", "card.training_data",
         "card.evidence", "card.limitations"]  # fmt: skip
SMALL = {"img_size": 64, "embed_dim": 24, "depth": 2, "num_heads": 3, "init_values": 1e-5}
TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 64,
        "patch_size": 16, "intermediate_size": 48}  # fmt: skip


def of_timm(folder: Path, arguments: dict[str, Any], said: dict[str, Any]) -> Any:
    """A small one as its authors share it; its config.json says ``said`` of the ``arguments``."""
    torch.manual_seed(3)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SMALL, **arguments).eval()
    for name, weight in network.named_parameters():
        if name.endswith("gamma"):  # so that a block changes what the vector is
            torch.nn.init.constant_(weight, 0.5)
    folder.mkdir()
    safetensors.save_file(network.state_dict(), folder / "model.safetensors")
    pretrained = {"input_size": [3, 64, 64], "mean": [0.7, 0.6, 0.5], "std": [0.2, 0.3, 0.1],
                  "fixed_input_size": True, "num_classes": 0}  # fmt: skip
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 0, "num_features": 24,
              "model_args": {**SMALL, **said}, "pretrained_cfg": pretrained}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return network


def of_transformers(folder: Path, family: str) -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(4)
    network = transformers.AutoModel.from_config(
        transformers.AutoConfig.for_model(family, **TINY)
    ).eval()
    network.save_pretrained(folder)
    processor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4],
                 "do_center_crop": True, "size": {"shortest_edge": 80},
                 "crop_size": {"height": 64, "width": 64}}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return network


def imported(folder: Path, out: Path, *more: str) -> ModelCard:
    words = ["models", "import-encoder", str(folder), "--out", str(out), *more]
    words += [word for field in TEXTS for word in ("--set", f"{field}=said")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "now: wsi-ai embed SLIDE" in done.stdout
    return load_card(out)


def vectors(card: ModelCard) -> np.ndarray:
    (got,) = open_runtime(card, RuntimeRequest("cpu")).predict(Arena(tiles(), [5]))
    return got.scores


def tiles() -> np.ndarray:
    return np.random.default_rng(6).integers(0, 256, (5, 64, 64, 3), np.uint8)


def seen_by(card: ModelCard) -> Any:
    """The tiles as the network wants them, computed here."""
    planes = torch.from_numpy(tiles()).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (card.input.mean, card.input.std))
    return (planes - mean) / std


def test_an_encoder_of_timm_gives_what_timm_gives(tmp_path: Path) -> None:
    of_timm(tmp_path / "someones", {}, {})
    config = json.loads((tmp_path / "someones" / "config.json").read_text())
    del config["model_args"]["img_size"]  # timm takes it from pretrained_cfg
    (tmp_path / "someones" / "config.json").write_text(json.dumps(config))
    card = imported(tmp_path / "someones", tmp_path / "m", "--set", "input.mpp=0.25")
    reference = timm.create_model(f"local-dir:{tmp_path / 'someones'}", pretrained=True).eval()
    with torch.inference_mode():
        expected = reference(seen_by(card)).numpy()
    assert (card.task, card.tile.size_px, card.tile.mpp) == (Task.EMBEDDING, 64, 0.25)
    assert card.output.features == 24
    assert (card.input.mean, card.input.std) == ((0.7, 0.6, 0.5), (0.2, 0.3, 0.1))
    np.testing.assert_allclose(vectors(card), expected, atol=1e-4)


def test_of_a_known_one_the_name_says_what_its_file_does_not(tmp_path: Path) -> None:
    """As of Virchow2: gated layers, and the class token beside the mean of the patches."""
    gated = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    said = {"reg_tokens": 4, "global_pool": ""}
    network = of_timm(tmp_path / "Virchow2", {**said, **gated}, said)
    card = imported(tmp_path / "Virchow2", tmp_path / "m")
    with torch.inference_mode():
        tokens = network(seen_by(card))
    expected = torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1).numpy()
    assert (card.pool, card.output.features, card.tile.mpp) == (Pool.FIRST_AND_MEAN, 48, 0.5)
    np.testing.assert_allclose(vectors(card), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "architecture", "said", "width", "features"),
    [
        ("UNI", "vit_large_patch16_224", {}, 1024, 1024),
        ("UNI2-h", "vit_giant_patch14_224", {}, 1536, 1536),
        ("Virchow2", "vit_huge_patch14_224",
         {"mlp_ratio": 5.3375, "global_pool": "", "reg_tokens": 4}, 1280, 2560),
        ("H-optimus-0", "vit_giant_patch14_reg4_dinov2", {"img_size": 224}, 1536, 1536),
    ],
)  # fmt: skip
def test_the_known_ones_are_built_in_their_full_size(
    name: str, architecture: str, said: dict[str, Any], width: int, features: int, tmp_path: Path
) -> None:
    """Of shapes only: the weights are not at hand."""
    (tmp_path / name).mkdir()
    config = {"architecture": architecture, "num_features": width, "model_args": said}
    (tmp_path / name / "config.json").write_text(json.dumps(config))
    (tmp_path / name / "pytorch_model.bin").touch()
    seen = load_encoder(str(tmp_path / name)).seen
    fields = seen.fields
    with torch.device("meta"):
        network = build(seen.architecture or "", 0, fields["weights.arguments"])
        pooled = Pooled(network, Pool(fields.get("weights.pool", "none")))
        got = (pooled if "weights.pool" in fields else network)(torch.empty(2, 3, 224, 224))
    assert tuple(got.shape) == (2, features)
    assert seen.shape == (features,)


@pytest.mark.parametrize("family", ["vit", "dinov2", "dinov2_with_registers"])
def test_an_encoder_of_transformers_gives_what_transformers_gives(
    family: str, tmp_path: Path
) -> None:
    network = of_transformers(tmp_path / "phikon", family)
    card = imported(tmp_path / "phikon", tmp_path / "m")
    with torch.inference_mode():
        expected = network(pixel_values=seen_by(card)).last_hidden_state[:, 0].numpy()
    assert (card.input.mean, card.input.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert (card.pool, card.tile.size_px, card.output.features) == (Pool.FIRST, 64, 24)
    np.testing.assert_allclose(vectors(card), expected, atol=1e-4)


def test_registers_are_no_patches(tmp_path: Path) -> None:
    network = of_transformers(tmp_path / "phikon", "dinov2_with_registers")
    card = imported(tmp_path / "phikon", tmp_path / "m", "--set", "weights.pool=mean")
    with torch.inference_mode():
        expected = network(pixel_values=seen_by(card)).last_hidden_state[:, 5:].mean(1).numpy()
    np.testing.assert_allclose(vectors(card), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("layernorm.weight"), "missing: layernorm.weight"),
        (lambda s: s.update(more=torch.zeros(2)), "not known: more"),
        (lambda s: s.update({"layernorm.bias": torch.zeros(9)}), "layernorm.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_not_made_up(
    change: Any, told: str, tmp_path: Path
) -> None:
    of_transformers(tmp_path / "phikon", "vit")
    state = safetensors.load_file(tmp_path / "phikon" / "model.safetensors")
    change(state)
    safetensors.save_file(state, tmp_path / "phikon" / "model.safetensors")
    card = imported(tmp_path / "phikon", tmp_path / "m")
    with pytest.raises(ModelError, match=told):
        vectors(card)


def test_what_names_no_architecture_is_told_the_other_way(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "coca"}')
    with pytest.raises(ModelError, match="export the encoder to ONNX or TorchScript"):
        load_encoder(str(tmp_path))


def test_weights_in_several_files_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "vit_tiny_patch16_224"}')
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load_encoder(str(tmp_path))
