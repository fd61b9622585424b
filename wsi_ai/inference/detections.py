"""Rows of a detecting network's output as objects: place, score, class.  Pure."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Form, ModelCard, Scored
from wsi_ai.errors import ModelError

Rows = NDArray[np.float32]
SIX = 6
"""Left, top, right, bottom, score, class."""


def columns(card: ModelCard) -> int:
    """Number of columns of the network's output."""
    classes = len(card.classes)
    behind = {
        Scored.SCORE_CLASS: 2,
        Scored.CLASS_SCORES: classes,
        Scored.OBJECTNESS_CLASS_SCORES: 1 + classes,
    }
    return place_columns(card) + behind[card.output.scored]


def objects_of(rows: Rows, card: ModelCard, activate: Callable[[Rows], Rows]) -> Rows:
    """(tiles, objects, 6) from the network's (tiles, rows, columns): left, top, right and bottom in
    pixels of the tile, score, class; the highest score first.  A point has no extent.  The number
    of objects is that of the tile with the most, at least one; the rest is zero.

    ``activate`` turns (tiles, rows, scores) of the network's numbers into scores in 0..1.  Raises
    ModelError where a class is none of the card's.
    """
    place = place_columns(card)
    score, kind = _scored(rows[..., place:], card, activate)
    score = np.where(score >= card.output.min_score, score, np.float32(0))
    order = np.argsort(-score, axis=1, kind="stable")
    most = max(1, int((score > 0).sum(axis=1).max(initial=0)))
    joined = np.concatenate(
        [_corners(rows[..., :place], card.output.form), score[..., None], kind[..., None]], axis=2
    )
    found = np.take_along_axis(joined, order[:, :most, None], axis=1).astype(np.float32)
    found[found[..., 4] == 0] = 0
    known = found[..., 5]
    if np.any((known < 0) | (known >= len(card.classes)) | (known != np.rint(known))):
        raise ModelError(
            f"{card.weights.name} names classes that are none of output.classes;"
            " is output.scored right?"
        )
    return found


def surest(objects: Rows, classes: int) -> Rows:
    """(tiles, classes) from (tiles, objects, 6): the highest score of each class, 0 where there
    is no object of it."""
    own = objects[..., 5, None] == np.arange(classes)
    found: Rows = np.where(own, objects[..., 4, None], np.float32(0)).max(axis=1)
    return np.where(np.isnan(objects[:, :1, 4]), np.float32(np.nan), found)


def place_columns(card: ModelCard) -> int:
    return 2 if card.output.form is Form.POINTS_XY else 4


def _scored(behind: Rows, card: ModelCard, activate: Callable[[Rows], Rows]) -> tuple[Rows, Rows]:
    """(tiles, rows) each: the score and the class."""
    if card.output.scored is Scored.SCORE_CLASS:
        return activate(behind[..., :1])[..., 0], behind[..., 1]
    scores = activate(behind)
    if card.output.scored is Scored.OBJECTNESS_CLASS_SCORES:
        scores = scores[..., 1:] * scores[..., :1]
    return scores.max(axis=2), scores.argmax(axis=2).astype(np.float32)


def _corners(place: Rows, form: Form) -> Rows:
    if form is Form.BOXES_XYXY:
        return place
    if form is Form.POINTS_XY:
        return np.concatenate([place, place], axis=2)
    middle, half = place[..., :2], place[..., 2:] / 2
    return np.concatenate([middle - half, middle + half], axis=2)
