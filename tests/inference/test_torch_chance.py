"""An operator of a PyTorch program that draws by chance is found by reading."""

import io
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from tests.inference.torch_models import write_torch_model  # noqa: E402
from wsi_ai.cli import app  # noqa: E402
from wsi_ai.core.cards import RuntimeRequest  # noqa: E402
from wsi_ai.errors import ModelError  # noqa: E402
from wsi_ai.inference.registry import open_runtime  # noqa: E402
from wsi_ai.inference.torch.chance import by_chance  # noqa: E402
from wsi_ai.models.manifest import load_card  # noqa: E402

SAMPLE = torch.zeros(2, 3, 32, 32)


class Mean(torch.nn.Module):
    """The mean of a tile, with something between: so little that no trial shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.small = 1e-9

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.between(x.mean((1, 2, 3))[:, None].clamp(0, 1))


class Dropping(Mean):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.small * torch.nn.functional.dropout(x, 0.5, self.training)


class DroppingInPlace(Mean):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.ones_like(x)
        torch.nn.functional.dropout(noise, 0.5, self.training, inplace=True)
        return x + self.small * noise


class WithNoise(Mean):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.small * torch.rand_like(x)


class WithNoiseInTraining(Mean):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            x = x + self.small * torch.empty_like(x).bernoulli_(0.5)
        return x


class WithAttention(Mean):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        share = 0.1 if self.training else 0.0
        parts = x[:, None]
        return (
            x
            + self.small
            * torch.nn.functional.scaled_dot_product_attention(
                parts, parts, parts, dropout_p=share
            )[:, 0]
        )


KINDS = (Dropping, DroppingInPlace, WithNoiseInTraining, WithAttention)
FORMATS = ("pt2", "traced", "scripted")


def saved(network: torch.nn.Module, kind: str) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "pt2":
            batch = torch.export.Dim("n", min=1)
            shapes = ({0: batch},)
            torch.export.save(
                torch.export.export(network, (SAMPLE,), dynamic_shapes=shapes), buffer
            )
        elif kind == "traced":
            torch.jit.save(torch.jit.trace(network, SAMPLE, check_trace=False), buffer)
        else:
            torch.jit.save(torch.jit.script(network), buffer)
    return buffer.getvalue()


def loaded(content: bytes, kind: str) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "pt2":
            module: torch.nn.Module = torch.export.load(io.BytesIO(content)).module()
            return module
        scripted: torch.nn.Module = torch.jit.load(io.BytesIO(content)).eval()
        return scripted


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("network", KINDS)
def test_what_was_exported_in_training_is_named_and_the_same_in_evaluation_is_not(
    network: type[Mean], kind: str
) -> None:
    """A script keeps both ways, and takes that of evaluation."""
    assert by_chance(loaded(saved(network().eval(), kind), kind)) is None
    drawing = by_chance(loaded(saved(network().train(), kind), kind))
    assert (drawing is None) == (kind == "scripted")


@pytest.mark.parametrize("kind", FORMATS)
def test_noise_is_named_however_it_was_exported(kind: str) -> None:
    assert "rand_like" in str(by_chance(loaded(saved(WithNoise().eval(), kind), kind)))


@pytest.mark.parametrize("kind", ["pt2", "torchscript"])
def test_a_program_that_draws_is_neither_opened_nor_drafted(kind: str, tmp_path: Path) -> None:
    suffix = {"pt2": ".pt2", "torchscript": ".pt"}[kind]
    content = saved(WithNoise().eval(), "pt2" if kind == "pt2" else "traced")
    folder = write_torch_model(tmp_path / "m", content, kind, f"weights{suffix}")
    with pytest.raises(ModelError, match=r"rand_like.* draws by chance; .* training mode"):
        open_runtime(load_card(folder), RuntimeRequest("cpu"))
    words = ["models", "init", str(folder / f"weights{suffix}"), "--out", str(tmp_path / "new")]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "draws by chance" in done.stderr) == (2, True)
    assert not (tmp_path / "new").exists()


def test_what_the_output_does_not_come_from_may_draw() -> None:
    class Beside(Mean):
        def between(self, x: torch.Tensor) -> torch.Tensor:
            torch.rand_like(x).add(1)
            return x

    for kind in ("pt2", "traced"):
        assert by_chance(loaded(saved(Beside().eval(), kind), kind)) is None
