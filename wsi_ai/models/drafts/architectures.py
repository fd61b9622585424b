"""Whose state dict is it?  By the names and shapes of its tensors."""

from collections.abc import Iterator, Mapping

import torch

from wsi_ai.errors import DeviceError
from wsi_ai.inference.torch.weights import build

Shapes = Mapping[str, tuple[int, ...]]

_HEADS = ("fc", "classifier", "head", "head.fc", *(f"classifier.{n}" for n in (6, 3, 2, 1)))
_RESNETS = (
    *(f"resnet{n}" for n in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)
_FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "layer1.0.conv1.weight": ("torchvision", _RESNETS),
    "features.denseblock1.denselayer1.norm1.weight": (
        "torchvision", ("densenet121", "densenet161", "densenet169", "densenet201"),
    ),
    "features.0.0.weight": (
        "torchvision",
        ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "convnext_tiny",
         "convnext_small", "convnext_base", *(f"efficientnet_b{n}" for n in range(8))),
    ),
    "features.0.weight": (
        "torchvision",
        ("squeezenet1_0", "squeezenet1_1", "vgg11", "vgg13", "vgg16", "vgg19", "vgg16_bn"),
    ),
    "conv_stem.weight": ("timm", tuple(f"efficientnet_b{n}" for n in range(5))),
    "patch_embed.proj.weight": (
        "timm",
        ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224",
         "vit_large_patch16_224", "swin_tiny_patch4_window7_224"),
    ),
    "stem.0.weight": ("timm", ("convnext_tiny", "convnext_small", "convnext_base")),
}  # fmt: skip
"""By a tensor that only the family has: a library, and the networks to compare with."""


def class_count(shapes: Shapes) -> int | None:
    """Rows of the last layer; ``None`` where it goes by no name that is known."""
    for head in _HEADS:
        shape = shapes.get(f"{head}.weight")
        if shape is not None and len(shape) in (2, 4):
            return shape[0]
    return None


def recognise(shapes: Shapes) -> str | None:
    """The architecture, ``torchvision/resnet18``, that has these very tensors."""
    classes = class_count(shapes)
    if classes is None:
        return None
    for name in _candidates(shapes):
        try:
            if _shapes_of(name, classes) == dict(shapes):
                return name
        except DeviceError:
            return None
        except (RuntimeError, ValueError):  # this version of the library does not know it
            continue
    return None


def _candidates(shapes: Shapes) -> Iterator[str]:
    for tensor, (library, names) in _FAMILIES.items():
        if tensor in shapes:
            yield from (f"{library}/{name}" for name in names)


def _shapes_of(architecture: str, classes: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = build(architecture, classes).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
