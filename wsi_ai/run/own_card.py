"""The card of a network that is in memory, from a few values."""

import hashlib
import math
import os
import re
from collections.abc import Sequence
from typing import TypedDict

from wsi_ai.core.cards import (
    Activation,
    InputSpec,
    Layout,
    ModelCard,
    ModelRef,
    OperatingPoint,
    TileSpec,
)
from wsi_ai.errors import ModelError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
INTENDED_USE = "A network in memory, for research: nothing of it was approved or kept."


class OwnCard(TypedDict, total=False):
    """What ``run_slides`` has to know of a network that has no model.toml; the first four are
    needed."""

    size_px: int
    """Side of a tile."""
    mpp: float
    """Micrometres per pixel of a tile."""
    classes: Sequence[str]
    threshold: float
    """The score from which a tile counts."""
    positive: str
    """The class that a slide is expedited for; by default the last one."""
    stride_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Of the colours in 0..1: the network gets ``(pixel / 255 - mean) / std``."""
    activation: str
    """What the scores still need: ``none``, ``sigmoid`` or ``softmax``."""
    name: str


def own_card(told: OwnCard) -> ModelCard:
    """A tile classification.  Every call makes another model, for nobody can tell whether the code
    is still the same.  Raises ModelError."""
    missing = [name for name in ("size_px", "mpp", "classes", "threshold") if name not in told]
    if missing:
        raise ModelError(f"a network in memory needs {', '.join(missing)} beside it")
    classes, name = tuple(told["classes"]), told.get("name", "own")
    positive = told.get("positive", classes[-1] if classes else "")
    if (
        positive not in classes
        or len(set(classes)) < len(classes)
        or isinstance(told["classes"], str)
    ):
        raise ModelError("classes are several names, each once, and positive is one of them")
    if not _NAME.fullmatch(name):
        raise ModelError("the name of a model is letters, digits, dots, dashes and underscores")
    digest = hashlib.sha256(os.urandom(32)).hexdigest()
    try:
        return ModelCard(
            ref=ModelRef(name, "0", digest),
            tile=TileSpec(told["size_px"], told["mpp"], told.get("stride_px", told["size_px"])),
            classes=classes,
            point=OperatingPoint(positive, told["threshold"], "a trial of one's own", "nothing"),
            input=_input(told),
            activation=Activation(told.get("activation", "none")),
            manifest_sha256=digest,
            intended_use=INTENDED_USE,
        )
    except (TypeError, ValueError) as error:
        raise ModelError(f"the network's card: {error}") from None


def _input(told: OwnCard) -> InputSpec:
    mean, std = told.get("mean", (0.0, 0.0, 0.0)), told.get("std", (1.0, 1.0, 1.0))
    if not all(math.isfinite(number) for number in (*mean, *std)) or not all(s > 0 for s in std):
        raise ModelError("mean and std are three numbers each, and std is above 0")
    return InputSpec(Layout.NCHW, "float32", mean, std)
