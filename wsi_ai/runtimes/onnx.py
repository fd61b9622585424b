"""Models in ONNX, by ONNX Runtime on the host's processor."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.values import Activation, Layout, ModelCard, Predictions, TileBatch

_BATCH = 32
_REFUSED = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


def open_runtime(card: ModelCard, device: str) -> "OnnxRuntime":
    """A session on all cores at hand, tried once.

    ``device`` is ``auto`` or ``cpu``.  Raises ModelError where the file does not load or does not
    fit its card, DeviceError for another device.
    """
    if device not in ("auto", "cpu"):
        raise DeviceError(f"no ONNX Runtime for device {device!r} here; give --device cpu")
    options = ort.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 4  # what it has to say is raised as well
    try:
        session = ort.InferenceSession(
            card.weights, sess_options=options, providers=["CPUExecutionProvider"]
        )
        return OnnxRuntime(card, session)
    except _REFUSED as error:
        raise ModelError(f"{card.weights.name} does not load: {_first_line(error)}") from None


class OnnxRuntime:
    """Runs batches of one fixed shape: a short batch is padded, so that a tile's score does not
    depend on how many others there were."""

    batch_size = _BATCH

    def __init__(self, card: ModelCard, session: ort.InferenceSession) -> None:
        self.card = card
        self.description = f"onnxruntime {ort.__version__}/cpu/fp32"
        self._session = session
        self._input = session.get_inputs()[0].name
        self._check()

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """See ``contracts.Runtime.predict``."""
        for batch in batches:
            pixels = np.asarray(np.from_dlpack(batch.pixels), np.uint8)
            yield Predictions(batch.slide_id, batch.index, self._scores(pixels))

    def _check(self) -> None:
        """Try one batch of white tiles against the card."""
        side = self.card.tile.size_px
        self._scores(np.full((1, side, side, 3), 255, np.uint8))

    def _scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        count = len(pixels)
        if count == 0:
            return np.empty((0, len(self.card.classes)), np.float32)
        padded = np.zeros((self.batch_size, *pixels.shape[1:]), np.uint8)
        padded[:count] = pixels
        output = self._run(prepare(padded, self.card))
        if output.shape not in (self._shape(), self._shape()[:1]) or (
            output.ndim == 1 and len(self.card.classes) > 1
        ):
            raise ModelError(
                f"{self.card.weights.name} gives {output.shape} for {self.batch_size} tiles;"
                f" the card's classes ask for {self._shape()}"
            )
        scores = activate(output.reshape(self._shape())[:count], self.card.activation)
        if np.any((scores < 0) | (scores > 1)):
            raise ModelError(
                f"{self.card.weights.name} gives scores outside 0..1; is output.activation right?"
            )
        return scores

    def _shape(self) -> tuple[int, int]:
        return self.batch_size, len(self.card.classes)

    def _run(self, tiles: NDArray[Any]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._session.run(None, {self._input: tiles})[0], np.float32)
        except ort_errors.InvalidArgument as error:
            raise ModelError(
                f"{self.card.weights.name} does not take what its card says: {_first_line(error)}"
            ) from None
        except (ort_errors.Fail, ort_errors.RuntimeException) as error:
            raise DeviceError(f"inference failed: {_first_line(error)}") from None


def prepare(pixels: NDArray[np.uint8], card: ModelCard) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Pixels as the network wants them: see ``values.InputSpec``."""
    spec = card.input
    tiles: NDArray[Any] = pixels
    if spec.dtype != "uint8":
        scale = 1 / (255 * np.array(spec.std, np.float32))
        tiles = pixels * scale - np.array(spec.mean, np.float32) / np.array(spec.std, np.float32)
    if spec.layout is Layout.NCHW:
        tiles = np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))
    return tiles


def activate(output: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """(tiles, classes) of scores in 0..1."""
    if activation is Activation.SIGMOID:
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * output), np.float32)  # no overflow
    if activation is Activation.SOFTMAX:
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True), np.float32)
    return output


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
