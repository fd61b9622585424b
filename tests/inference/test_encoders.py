"""Encoders of timm from a state dict: as the card says, without a download."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

from tests.models_for_tests import mean_network, write_encoder  # noqa: E402
from wsi_ai.core.cards import RuntimeRequest  # noqa: E402
from wsi_ai.errors import ModelError  # noqa: E402
from wsi_ai.inference.registry import open_runtime  # noqa: E402
from wsi_ai.models.manifest import load_card  # noqa: E402
from wsi_ai.testing.runtime_contract import Arena  # noqa: E402

SMALL = {"img_size": 64, "embed_dim": 24, "depth": 2, "num_heads": 3, "reg_tokens": 4}
SMALL |= {"global_pool": "", "mlp_ratio": 5.0}
LAYERS = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}


def encoder() -> Any:
    """A small one of the kind of Virchow2: registers, a gated MLP, and tokens for an output."""
    torch.manual_seed(3)
    kinds = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, **SMALL, **kinds).eval()


def card_of(folder: Path, pool: str, features: int, **wanted: Any) -> Path:
    buffer = io.BytesIO()
    torch.save(encoder().state_dict(), buffer)
    write_encoder(folder, mean_network(), features=features)
    (folder / "weights.onnx").write_bytes(buffer.getvalue())
    said = [f"{k} = {v!r}".replace("'", '"') for k, v in {**SMALL, **LAYERS, **wanted}.items()]
    more = f'architecture = "timm/vit_tiny_patch16_224"\npool = "{pool}"\n[weights.arguments]\n'
    text = (folder / "model.toml").read_text()
    head, _, rest = text.partition("[input]")
    lines = [line for line in head.splitlines() if not line.startswith("sha256")]
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    head = "\n".join(lines).replace('format = "onnx"', 'format = "state-dict"')
    head += f'\nsha256 = "{digest}"\n{more}' + "\n".join(said) + "\n"
    rest = rest.replace('"nhwc"', '"nchw"').replace('"uint8"', '"float32"')
    (folder / "model.toml").write_text(f"{head}[input]{rest}")
    return folder


def tiles() -> np.ndarray:
    return np.random.default_rng(6).integers(0, 256, (5, 64, 64, 3), np.uint8)


@pytest.mark.parametrize("pool", ["first", "mean", "first-and-mean"])
def test_the_vector_is_the_class_token_the_mean_of_the_patches_or_both(
    pool: str, tmp_path: Path
) -> None:
    features = 48 if pool == "first-and-mean" else 24
    card = load_card(card_of(tmp_path / "m", pool, features))
    (got,) = open_runtime(card, RuntimeRequest("cpu")).predict(Arena(tiles(), [5]))
    with torch.inference_mode():
        tokens = encoder()(torch.from_numpy(tiles()).permute(0, 3, 1, 2).float() / 255)
    assert tokens.shape == (5, 1 + 4 + 16, 24)
    parts = {"first": tokens[:, 0], "mean": tokens[:, 5:].mean(1)}
    parts["first-and-mean"] = torch.cat([parts["first"], parts["mean"]], 1)
    np.testing.assert_allclose(got.scores, parts[pool].numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("pool", "wanted", "told"),
    [
        ("none", {}, "gives (2, 21, 24)"),
        ("first", {"global_pool": "token"}, "weights.pool is first, but the encoder gives"),
        ("first", {"act_layer": "Popen"}, "weights.arguments.act_layer: neither timm.layers"),
        ("first", {"depth": 3}, "weights.arguments or output.classes do not fit it: "),
        ("first", {"colour": 3}, "does not load"),
    ],
)
def test_what_does_not_fit_the_weights_is_refused(
    pool: str, wanted: dict[str, Any], told: str, tmp_path: Path
) -> None:
    card = load_card(card_of(tmp_path / "m", pool, 24, **wanted))
    with pytest.raises(ModelError) as refused:
        open_runtime(card, RuntimeRequest("cpu"))
    assert told in str(refused.value)
