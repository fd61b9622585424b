"""A model's weights quantised, and kept only where no flag of its golden tiles changes."""

import hashlib
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from wsi_ai import schemas
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.files import sync, write_whole
from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import DeviceError, ModelError, OutputError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.golden import Differences, Golden, compare
from wsi_ai.models.manifest import load_variants, manifest_path
from wsi_ai.models.parity import (
    GoldenResult,
    held,
    requests_for,
    required_golden,
    scores,
    tissue_tiles,
)

_HELD_OUT = 4
"""Every so many tiles, one is not calibrated on but compared afterwards."""
_FEWEST = 32
"""Tiles to calibrate on: a batch."""


@dataclass(frozen=True, slots=True)
class Optimized:
    """What came of it."""

    rows: tuple[GoldenResult, ...]
    """Each runtime here on the golden tiles; those that cannot be had say why."""
    beyond: Differences
    """From fp32, on tiles of the slides that it was not calibrated on."""
    tiles: int
    """How many these were."""
    weights: Path

    @property
    def kept(self) -> bool:
        """At least one runtime ran, and all that ran are accepted."""
        ran = [row for row in self.rows if row.differences is not None]
        return bool(ran) and all(row.accepted for row in ran)


def quantize_model(model: Path, slides: Sequence[Path]) -> Optimized:
    """Quantise a model's ONNX weights to int8, with tiles of slides of the kind it is made for.

    Where the result is ``kept``, its file stands beside the fp32 one and its variant in the card;
    else nothing was changed.  Raises ModelError, SlideError, DeviceError, or OutputError where the
    model's folder cannot be written.
    """
    card = _quantisable(model)
    golden, quantizer = required_golden(card), _quantizer()
    tiles = np.concatenate([tissue_tiles(path, card) for path in slides])
    out = np.arange(len(tiles)) % _HELD_OUT == 0
    if np.count_nonzero(~out) < _FEWEST:
        raise ModelError(f"only {len(tiles)} tiles with tissue to calibrate on; give more slides")
    try:
        with tempfile.TemporaryDirectory(prefix=".optimize-", dir=card.weights.parent) as aside:
            weights = Path(aside, f"{card.weights.stem}.int8.onnx")
            quantizer.quantize(card, tiles[~out], weights)
            made = _card(card, weights)
            rows = tuple(held(made, golden, request) for request in requests_for(made))
            beyond = _beyond(card, made, tiles[out])
            done = Optimized(rows, beyond, int(out.sum()), card.weights.with_name(weights.name))
            if done.kept:
                _keep(model, made, done.weights)
    except OSError as error:
        raise OutputError(f"the model's folder cannot be written: {error.strerror}") from None
    return done


def _quantisable(model: Path) -> ModelCard:
    card, *others = load_variants(model)
    if card.format != "onnx":
        raise ModelError(f"only ONNX weights can be quantised, and this model's are {card.format}")
    for other in others:
        if other.precision is Precision.INT8:
            raise ModelError(
                f"the model has int8 weights already; to make them anew, take {other.weights.name}"
                " and its [[variants]] out of the model's folder and card"
            )
    return card


def _quantizer() -> ModuleType:
    with needs_extra("optimize", DeviceError):
        from wsi_ai.inference.onnx import quantize
    return quantize


def _card(card: ModelCard, weights: Path) -> ModelCard:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return replace(
        card,
        ref=replace(card.ref, sha256=digest),
        weights=weights,
        precision=Precision.INT8,
        original_sha256=card.ref.sha256,
    )


def _beyond(card: ModelCard, made: ModelCard, tiles: NDArray[np.uint8]) -> Differences:
    before = open_runtime(card, RuntimeRequest("cpu"))
    after = open_runtime(made, RuntimeRequest("cpu", Precision.INT8))
    reference = Golden(tiles, scores(before, tiles), before.description)
    return compare(reference, scores(after, tiles), card)


def _keep(model: Path, made: ModelCard, place: Path) -> None:
    """The weights first: a crash leaves a file without a card's word, never a word without a
    file."""
    sync(made.weights)
    made.weights.replace(place)
    try:
        _add_variant(model, replace(made, weights=place))
    except (ModelError, OSError):
        place.unlink()
        raise


def _add_variant(model: Path, card: ModelCard) -> None:
    """Name the card's weights, which stand in the model's folder, as a variant of the model.

    The author's text stays as it is; the table follows it.  The file changes whole or not at all.
    Raises ModelError where the text does not take another table, OSError where the disk refuses.
    """
    manifest = manifest_path(model).resolve()
    lines = (
        "",
        "[[variants]]",
        f'path = "{card.weights.name}"',
        f'format = "{card.format}"',
        f'precision = "{card.precision}"',
        f'sha256 = "{card.ref.sha256}"',
        "",
    )
    before = manifest.read_bytes()
    content = before + b"\n" * (not before.endswith(b"\n")) + "\n".join(lines).encode()
    try:
        wrong = schemas.complaint("model-card-1", tomllib.loads(content.decode()))
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise ModelError(
            f"{manifest.name}: [[variants]] cannot be added at its end: {wrong}; if it has"
            " variants = [...], write them as [[variants]]"
        )
    write_whole(manifest, content)
