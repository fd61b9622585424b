"""ONNX weights from fp32 to int8, after training: static, with ranges measured on real tiles.

Activations are quantised to 8 bits, weights per channel to 7.  A processor without VNNI adds pairs
of 8-bit products in 16 bits, which saturate, and so would give other scores from the same file
(``reduce_range`` of ONNX Runtime).  The eighth bit was no faster: docs/runtimes.md.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from wsi_ai.core.cards import ModelCard
from wsi_ai.errors import ModelError, first_line
from wsi_ai.inference.host import BATCH
from wsi_ai.inference.onnx.runtime import REFUSED, open_session, session_options
from wsi_ai.inference.scoring import prepare
from wsi_ai.inference.sealed import sealed_weights

_FAILED = (*REFUSED, AttributeError, KeyError, RuntimeError, TypeError, ValueError)
"""What the quantiser raises about networks that it was not made for."""


_SCHEME = {
    "quant_format": QuantFormat.QDQ,
    "per_channel": True,
    "reduce_range": True,
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
}


def quantize(card: ModelCard, tiles: NDArray[np.uint8], out: Path) -> None:
    """Write the card's network to ``out``, calibrated on ``tiles`` (n, size, size, 3).

    Convolutions, matrix products and what lies between them are quantised, for the range that each
    activation had; input and output keep their types.  Raises ModelError where the file does not
    load or cannot be quantised.
    """
    opened = open_session(card, session_options(), ["CPUExecutionProvider"])
    reader = _Reader(_inputs(card, tiles, opened.get_inputs()[0].name))
    with tempfile.TemporaryDirectory() as folder:
        whole, folded = Path(folder, "whole.onnx"), Path(folder, "folded.onnx")
        whole.write_bytes(sealed_weights(card))
        try:
            with _quiet():
                quant_pre_process(str(whole), str(folded), skip_symbolic_shape=True)
                quantize_static(folded, out, reader, **_SCHEME)
        except _FAILED as error:
            told = f"{card.weights.name} cannot be quantised: {first_line(error)}"
            raise ModelError(told) from None
    if all(node.op_type != "QuantizeLinear" for node in onnx.load(out).graph.node):
        raise ModelError(f"{card.weights.name} has nothing that can be quantised")


def _inputs(card: ModelCard, tiles: NDArray[np.uint8], name: str) -> Iterator[dict[str, Any]]:
    """Whole batches; the last one is filled up with the first tiles, which widens no range."""
    at_once = card.input.batch or BATCH
    for start in range(0, len(tiles), at_once):
        places = np.arange(start, start + at_once) % len(tiles)
        yield {name: prepare(tiles[places], card)}


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser warns the root logger, once for each weight, of what it does by design."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Reader(CalibrationDataReader):
    """An iterator, as the quantiser wants one."""

    def __init__(self, inputs: Iterator[dict[str, Any]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)
