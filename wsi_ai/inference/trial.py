"""A network is a function: it says of a tile the same each time, whatever lies beside it.

One that was exported in training mode draws by chance what it leaves out (dropout), or measures a
tile by its neighbours (batch normalisation).  Its scores would be another's on another day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Activation, ModelCard, Precision, Task, Tolerance
from wsi_ai.errors import ModelError
from wsi_ai.inference.detections import place_columns

Raw = NDArray[np.float32]
Tiles = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Network = Callable[[NDArray[np.uint8]], Raw]
"""(n, side, side, 3) to what the network gives for each: (n, ...)."""
FOR_A_DRAFT = 4
"""How often a network is asked again before a card is written for it; once where it is opened."""

_ADDED = 1e-5
"""By how much the probabilities of all classes may miss 1, by rounding."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Tiles at once that a network is tried on."""

    alone: int
    """One, and blank ones up to this number where the network takes no fewer."""
    within: int
    again: int = 1
    """How often the first is asked once more, alone: a coin may fall twice on the same side."""


def hold_to_itself(
    card: ModelCard, precision: Precision, network: Network, batches: Batches
) -> None:
    """Try two tiles, alone and within a batch, and one of them again.  Raises ModelError where the
    network does not agree with itself, where it gives probabilities and the card asks for them
    once more, and what the network raises."""
    given: list[Raw] = []

    def compared(tiles: NDArray[np.uint8]) -> Raw:
        given.append(network(tiles))
        return _comparable(given[-1], card)

    name, allowed = card.weights.name, card.tolerance.of(precision)
    tiles = trial_tiles(card.tile.size_px)
    check_agreement(name, compared, tiles, batches, Allowed(allowed, vectors=card.gives_vectors))
    again = card.activation is not Activation.NONE and not card.gives_vectors
    if again and card.task is not Task.DETECTION and all(map(_add_up, given)):
        raise ModelError(
            f"output.activation: what {name} gives adds up to 1 over the classes already, and"
            f" {card.activation} of that would be no score; set it to none"
        )


@dataclass(frozen=True, slots=True)
class Allowed:
    """How far two answers to one tile may lie apart by rounding alone."""

    share: float = Tolerance().fp32
    """Of the largest number of any answer."""
    vectors: bool = False
    """Whether answers are vectors of any size; of scores and logits the largest counts as 1 at
    least."""


def check_agreement(
    name: str, network: Network, tiles: Tiles, batches: Batches, allowed: Allowed | None = None
) -> None:
    """The same for any network; ``name`` is that of its file.  Raises ModelError."""
    allowed = allowed or Allowed()

    def each(batch: NDArray[np.uint8]) -> Raw:
        answers: Raw = network(batch)
        if answers.shape[:1] != (len(batch),):
            raise ModelError(f"{name} gives {answers.shape} for {len(batch)} tiles")
        return answers

    apart = _disagreement(each, tiles, batches, vectors=allowed.vectors)
    if not apart <= allowed.share:
        found = f"alone and within a batch its output differs by {_share(apart)}"
        raise ModelError(unsteady(name, found))


def unsteady(name: str, found: str) -> str:
    """What is wrong with a network that is no function of its tile."""
    return (
        f"{name} does not say the same of a tile each time: {found}; was it exported in training"
        " mode?"
    )


def _disagreement(network: Network, tiles: Tiles, batches: Batches, *, vectors: bool) -> float:
    """The largest difference between two answers to one tile, as a share of the largest number of
    any answer; of scores and logits, of 1 at least.  NaN where only one of the answers is one."""
    first, second = tiles

    def alone(tile: NDArray[np.uint8]) -> Raw:
        batch = np.zeros((batches.alone, *tile.shape), np.uint8)
        batch[0] = tile
        answer: Raw = network(batch)[0]
        return answer

    one, two = alone(first), alone(second)
    batch = np.empty((batches.within, *first.shape), np.uint8)
    batch[::2], batch[1::2] = second, first
    among = network(batch)
    pairs = [((two, one)[n % 2], among[n]) for n in range(batches.within)]
    pairs += [(one, alone(first)) for _ in range(batches.again)]
    largest = max(_size(answer) for pair in pairs for answer in pair)
    scale = max(largest, float(np.finfo(np.float32).tiny) if vectors else 1.0)
    return float(np.max([_apart(a, b) for a, b in pairs])) / scale  # NaN, where one is


@cache
def trial_tiles(side: int) -> Tiles:
    """Two that look like tissue as far as a network goes: stained, uneven, and not alike."""
    random = np.random.default_rng(side)
    grown = []
    for colour, depth in (((228, 180, 212), 24), ((150, 95, 165), 48)):
        coarse = random.normal(0, depth, (side // 8 + 1, side // 8 + 1, 1))
        spots = np.repeat(np.repeat(coarse, 8, 0), 8, 1)[:side, :side]
        noise = random.normal(0, 8, (side, side, 3))
        grown.append(np.clip(np.array(colour) + spots + noise, 0, 255).astype(np.uint8))
    return grown[0], grown[1]


def _add_up(answers: Raw) -> bool:
    """Whether these are probabilities of classes: logits are not, but by chance."""
    if answers.ndim < 2 or answers.shape[1] < 2:
        return False
    in_range = np.all((answers >= 0) & (answers <= 1 + _ADDED))
    return bool(in_range and np.all(np.abs(answers.sum(axis=1) - 1) <= _ADDED))


def _comparable(output: Raw, card: ModelCard) -> Raw:
    """Rows of objects stand in any order: each column by size; places as shares of the tile."""
    if card.task is not Task.DETECTION or output.ndim != 3:
        return output
    placed: Raw = output.copy()
    placed[..., : place_columns(card)] /= card.tile.size_px
    placed.sort(axis=1)
    return placed


def _size(answer: Raw) -> float:
    known = answer[np.isfinite(answer)]
    return float(np.abs(known).max(initial=0.0))


def _apart(a: Raw, b: Raw) -> float:
    """Where both have no number, or the same infinity, they agree."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        return float(np.where(same, np.float32(0), np.abs(a - b)).max(initial=0.0))


def _share(apart: float) -> str:
    return "a number and none" if not np.isfinite(apart) else f"{apart:.2g} of its size"
