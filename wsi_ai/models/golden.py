"""Golden tiles: a few tiles stored with a model, and the fp32 scores that every runtime is held to.

``golden.json`` beside the card has a digest of each tile's pixels and its scores; the tiles stand
in one JPEG sheet, square by square.
"""

import hashlib
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsi_ai import schemas
from wsi_ai.core.cards import ModelCard
from wsi_ai.core.regular_file import read_regular
from wsi_ai.errors import ModelError, OutputError
from wsi_ai.schemas.reading import Unreadable, from_json

GOLDEN, _SHEET = "golden.json", "golden.jpg"
_MOST, _SHEET_MOST, _PIXELS_MOST = 1 << 26, 1 << 28, 1 << 28
_QUALITY = 85
Tiles = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Tiles (n, size, size, 3) as the network sees them, in normalised colours where the card asks
    for these, and their scores (n, classes) or vectors (n, features)."""

    tiles: Tiles
    scores: NDArray[np.float32]
    made_by: str


@dataclass(frozen=True, slots=True)
class Differences:
    """Between the scores of a runtime and the golden ones."""

    largest: float
    """NaN where a golden tile got no score.  Of vectors: how far one lies from the golden one, as a
    share of that one's length."""
    rank_changes: int
    """Pairs of tiles that the positive class orders the other way round."""
    flag_changes: int
    """Tiles on the other side of the threshold."""


def load_golden(card: ModelCard) -> Golden | None:
    """``None`` where the model has none.  Raises ModelError where they are not what they were."""
    folder = card.weights.parent
    table = _read_table(folder / GOLDEN, card.golden_sha256)
    if table is None:
        return None
    if table["weights_sha256"] != (card.original_sha256 or card.ref.sha256):
        raise ModelError(
            f"{GOLDEN} is about other weights than the card's; make it anew: wsi-ai models golden"
        )
    rows = [entry["scores"] for entry in table["tiles"]]
    wanted = card.output.features if card.gives_vectors else len(card.classes)
    if {len(row) for row in rows} != {wanted}:
        raise ModelError(f"{GOLDEN}: not {wanted} numbers for each tile, as the card has them")
    scores = np.array(rows, np.float32)
    tiles = _cut(folder / table["sheet"], card.tile.size_px, len(scores))
    for number, (tile, entry) in enumerate(zip(tiles, table["tiles"], strict=True)):
        if _digest(tile) != entry["sha256"]:
            raise ModelError(f"golden tile {number} does not have the pixels it had; get it again")
    return Golden(tiles, scores, table["made_by"])


def _read_table(path: Path, digest: str) -> dict[str, Any] | None:
    """Of ``digest``, where that is known.  Raises ModelError."""
    content = _content(path)
    if content is None and digest:
        raise ModelError(f"{GOLDEN} was taken away since the card was read")
    if content is None:
        return None
    if digest not in ("", hashlib.sha256(content).hexdigest()):
        raise ModelError(f"{GOLDEN} was changed since the card was read")
    try:
        table: dict[str, Any] = from_json(content)
    except Unreadable as error:
        raise ModelError(f"{GOLDEN} {error}") from None
    wrong = schemas.complaint("golden-1", table)
    if wrong is None and Path(table["sheet"]).name != table["sheet"]:
        wrong = "sheet: leads out of the model's folder"
    if wrong:
        raise ModelError(f"{GOLDEN}: {wrong}")
    return table


def _content(path: Path) -> bytes | None:
    """``None`` where there is no such file.  Raises ModelError."""
    try:
        return read_regular(path, _MOST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{GOLDEN} cannot be read: {error.strerror}") from None


def golden_digest(folder: Path) -> str:
    """SHA-256 of a model's golden scores; empty where it has none.  Raises ModelError."""
    content = _content(folder / GOLDEN)
    return "" if content is None else hashlib.sha256(content).hexdigest()


def write_sheet(card: ModelCard, tiles: Tiles) -> Tiles:
    """Store the tiles beside the card; returns them as they read back, which JPEG changed."""
    across, size = math.ceil(math.sqrt(len(tiles))), tiles.shape[1]
    sheet = np.full((math.ceil(len(tiles) / across) * size, across * size, 3), 255, np.uint8)
    for square, tile in zip(_squares(sheet, size), tiles, strict=False):
        square[...] = tile
    done, data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise OutputError(f"{_SHEET} cannot be encoded")
    _write(card, _SHEET, data.tobytes())
    return _cut(card.weights.parent / _SHEET, size, len(tiles))


def write_scores(card: ModelCard, golden: Golden) -> Path:
    """Store what the network says of the tiles of the sheet."""
    entries = [
        {"sha256": _digest(tile), "scores": [float(score) for score in scores]}
        for tile, scores in zip(golden.tiles, golden.scores, strict=True)
    ]
    table = {
        "schema_version": "1",
        "weights_sha256": card.ref.sha256,
        "made_by": golden.made_by,
        "sheet": _SHEET,
        "tiles": entries,
    }
    return _write(card, GOLDEN, f"{json.dumps(table, indent=1)}\n".encode())


def compare(golden: Golden, scores: NDArray[np.float32], card: ModelCard) -> Differences:
    """A tile without a score counts as changed, for it would not be assessed."""
    if card.gives_vectors:
        return _compare_vectors(golden, scores)
    before, now = golden.scores[:, card.positive_class], scores[:, card.positive_class]
    flagged = np.isnan(now) | ((before >= card.point.threshold) != (now >= card.point.threshold))
    return Differences(
        largest=float(np.abs(scores - golden.scores).max()),
        rank_changes=int(_swapped(before, now).sum()),
        flag_changes=int(flagged.sum()),
    )


def _compare_vectors(golden: Golden, vectors: NDArray[np.float32]) -> Differences:
    """These have no order and no flag, unless there is none."""
    apart = np.linalg.norm(vectors - golden.scores, axis=1)
    length = np.maximum(np.linalg.norm(golden.scores, axis=1), np.finfo(np.float32).tiny)
    return Differences(float((apart / length).max()), 0, int(np.isnan(apart).sum()))


def _swapped(before: NDArray[np.float32], now: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(n, n): the first tile of a pair was above the second, and is below it now."""
    over, under = np.subtract.outer(before, before) > 0, np.subtract.outer(now, now) < 0
    return np.logical_and(over, under)


def _cut(sheet: Path, size: int, count: int) -> Tiles:
    try:
        data = read_regular(sheet, _SHEET_MOST)
        _check_size(data, sheet.name)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except OSError as error:
        raise ModelError(f"golden tiles: {sheet.name}: {error.strerror}") from None
    squares = [] if image is None else _squares(np.asarray(image, np.uint8), size)[:count]
    if len(squares) < count:
        raise ModelError(f"golden tiles: {sheet.name} does not hold {count} tiles of {size} px")
    return np.stack([square[..., ::-1] for square in squares])


def _check_size(data: bytes, name: str) -> None:
    """What the sheet promises is held against its header before it is unpacked."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = image.width * image.height
    except (OSError, ValueError, Image.DecompressionBombError):
        pixels = 0
    if not 0 < pixels <= _PIXELS_MOST:
        raise ModelError(f"golden tiles: {name} is no picture of a size that can be")


def _squares(sheet: Tiles, size: int) -> list[Tiles]:
    rows, cols = sheet.shape[0] // size, sheet.shape[1] // size
    places = [(r * size, c * size) for r in range(rows) for c in range(cols)]
    return [sheet[y : y + size, x : x + size] for y, x in places]


def _digest(tile: Tiles) -> str:
    return hashlib.sha256(np.ascontiguousarray(tile).tobytes()).hexdigest()


def _write(card: ModelCard, name: str, data: bytes) -> Path:
    path = card.weights.parent / name
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{name} cannot be written beside the model: {error.strerror}") from None
    return path
