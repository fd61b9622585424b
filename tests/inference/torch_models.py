"""Tiny networks of PyTorch in each format, with cards that fit them.  Needs torch."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch

from tests.models_for_tests import red_network, write_model


class Red(torch.nn.Module):
    """The mean of red over 255 for each tile, through a convolution: right only if layout,
    channel order and scaling are."""

    def __init__(self, layout: str = "nchw", dtype: str = "float32") -> None:
        super().__init__()
        self.planes_last = layout == "nhwc"
        self.shade = 255.0 if dtype == "uint8" else 1.0
        self.pick = torch.nn.Conv2d(3, 1, 1, bias=False)
        self.pick.weight.data = torch.tensor([[[[1.0]], [[0.0]], [[0.0]]]])

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        planes = tiles.permute(0, 3, 1, 2) if self.planes_last else tiles
        return self.pick(planes.float() / self.shade).mean((2, 3)).clamp(0, 1)


class AttentionHead(torch.nn.Module):
    """What ``models_for_tests.attention_head`` computes, for (n, 3) or (1, n, 3) alone."""

    def __init__(self, lead: int) -> None:
        super().__init__()
        self.axes = 2 + lead

    def forward(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if vectors.dim() != self.axes:
            raise ValueError("not these axes")
        red = vectors[..., 0].reshape(-1)
        attention = torch.softmax(20.0 * red, 0)
        return (20.0 * ((attention * red).sum() - 0.75)).reshape(1, 1), attention


class Nets:
    """Files of a network for batches of any size."""

    def __init__(self, network: torch.nn.Module, sample: torch.Tensor) -> None:
        self.network, self.sample = network.eval(), sample

    def pt2(self) -> bytes:
        batch = torch.export.Dim("n", min=1)
        program = torch.export.export(self.network, (self.sample,), dynamic_shapes=({0: batch},))
        return _written(torch.export.save, program)

    def torchscript(self) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _written(torch.jit.save, torch.jit.trace(self.network, self.sample))


def write_torch_model(
    folder: Path, content: bytes, kind: str, name: str = "weights.pt", **fields: Any
) -> Path:
    """A model folder; ``fields`` as of ``write_model``, and ``architecture``."""
    architecture = fields.pop("architecture", "")
    write_model(folder, red_network(), **{"layout": "nchw", "dtype": "float32", **fields})
    (folder / "weights.onnx").unlink()
    (folder / name).write_bytes(content)
    card, said = folder / "model.toml", f'format = "{kind}"'
    if architecture:
        said += f'\narchitecture = "{architecture}"'
    text = card.read_text("utf-8").replace('format = "onnx"', said).replace("weights.onnx", name)
    lines = text.splitlines()
    digest = f'sha256 = "{hashlib.sha256(content).hexdigest()}"'
    card.write_text("\n".join(digest if s.startswith("sha256") else s for s in lines), "utf-8")
    return folder


def _written(save: Any, what: Any) -> bytes:
    buffer = io.BytesIO()
    save(what, buffer)
    return buffer.getvalue()
