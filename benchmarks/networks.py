"""Networks with random weights, as model folders in ONNX and as PyTorch modules."""

import hashlib
import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

NAMES = ("resnet18", "resnet50", "vit_small_patch16_224")
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CARD = """schema_version = "1"
name = "{name}"
version = "0"
task = "tile-classification"
[weights]
path = "{path}"
format = "{format}"
sha256 = "{sha256}"
[input]
size_px = 224
mpp = 0.5
layout = "nchw"
dtype = "float32"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[output]
activation = "softmax"
classes = ["tumour", "other"]
[operating_point]
class = "tumour"
threshold = 0.5
chosen_for = "benchmarks"
calibrated_on = "nothing: the weights are random"
[card]
intended_use = "Benchmarks."
regulatory_status = "research_use_only"
licence = "Apache-2.0"
training_data = "None."
evidence = "None."
limitations = "Random weights."
"""


@dataclass(frozen=True)
class Network:
    name: str
    module: torch.nn.Module
    onnx: Path
    """Model folder."""
    pt2: Path
    """Model folder."""


def make_network(name: str, folder: Path) -> Network:
    """From torchvision or timm, exported for batches of any size."""
    torch.manual_seed(0)
    module = _module(name).eval()
    onnx, pt2 = folder / f"{name}-onnx", folder / f"{name}-pt2"
    sample = torch.zeros(2, 3, SIDE, SIDE)
    batch = {0: torch.export.Dim("n", min=1, max=1024)}
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (sample,), dynamic_shapes=(batch,))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        exported = torch.onnx.export(
            module, (sample,), dynamo=True, dynamic_shapes=(batch,), verbose=False
        )
    logging.disable(logging.NOTSET)
    _write(pt2, name, "pt2", buffer.getvalue())
    _write(onnx, name, "onnx", exported.model_proto.SerializeToString())
    return Network(name, module, onnx, pt2)


def _module(name: str) -> torch.nn.Module:
    if name.startswith("vit"):
        import timm

        return timm.create_model(name, pretrained=False, num_classes=2)
    import torchvision

    return torchvision.models.get_model(name, weights=None, num_classes=2)


def _write(folder: Path, name: str, kind: str, weights: bytes) -> None:
    folder.mkdir(parents=True)
    path = f"{name}.{kind}"
    (folder / path).write_bytes(weights)
    digest = hashlib.sha256(weights).hexdigest()
    card = CARD.format(name=name.replace("_", "-"), path=path, format=kind, sha256=digest)
    (folder / "model.toml").write_text(card, "utf-8")
