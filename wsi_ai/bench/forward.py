"""The network, batch by batch and in each precision; and the ways to a device and back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wsi_ai.bench import limits
from wsi_ai.bench.report import forward_name
from wsi_ai.bench.tasks import Least, Subject, Task
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Copy, Runtime, RuntimeOnDevice
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import ModelError, WsiAiError
from wsi_ai.models.fastest.open_fastest import open_fastest

CardOf = Callable[[Precision], ModelCard]
TO_DEVICE, TO_HOST = "host to device", "device to host"
_NO_DEVICE = f"{TO_DEVICE}, {TO_HOST}: inference is on the host"
_UNKNOWN = "limit of forward: the network's operations cannot be counted"
_OF_FP32 = "limit of forward in {}: matrix products are measured in fp32 only"
_OF_HOST = "limit of forward: matrix products are measured on the host, not on a device"


@dataclass(frozen=True, slots=True)
class Forward:
    """What is to be measured of the network."""

    card_of: CardOf
    """The card with the weights of a precision.  Raises WsiAiError where it has none."""
    request: RuntimeRequest
    """In the precision that a run takes: there it must work."""
    precisions: Sequence[Precision]
    batches: Sequence[int]
    operations: float | None
    """Of one tile, where they can be counted."""

    def runtimes(self, left_out: list[str]) -> Iterator[tuple[Precision, Runtime]]:
        """In each precision and at each batch.  A precision in which the model or its runtime does
        not compute is named in ``left_out``.  Raises WsiAiError for that of ``request``."""
        for precision in self.precisions:
            try:
                card = self.card_of(precision)
                for batch in self.batches:
                    asked = replace(self.request, precision=precision, batch_size=batch)
                    yield precision, open_fastest(card, asked)
            except WsiAiError as error:
                if precision is self.request.precision:
                    raise
                left_out.append(f"forward in {precision}: {_why(error)}")


def _why(error: WsiAiError) -> str:
    """In words that name no path and no model: the result may be published."""
    if isinstance(error, ModelError):
        return "the model has no such weights"
    return "its runtime does not compute in it here"


def forward_tasks(
    subject: Subject, forward: Forward, left_out: list[str]
) -> Iterator[tuple[Task, Runtime]]:
    """One batch through the model, each; ``left_out`` says which limits and precisions are not
    there."""
    for precision, runtime in forward.runtimes(left_out):
        batch, side = runtime.batch_size, subject.card.tile.size_px
        pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
        tiles = TileBatch(subject.slide.info.slide_id, np.arange(batch), pixels)
        least = None
        if missing := _no_limit(forward.operations, precision, runtime):
            left_out += [] if missing in left_out else [missing]
        else:
            least = _products(forward.operations or 0.0, batch)
        yield _task(forward_name(precision, batch), subject, runtime, tiles, least), runtime


def _no_limit(operations: float | None, precision: Precision, runtime: Runtime) -> str:
    """Why there is none; empty where there is."""
    if not operations:
        return _UNKNOWN
    if isinstance(runtime, RuntimeOnDevice):
        return _OF_HOST
    return "" if precision is Precision.FP32 else _OF_FP32.format(precision)


def _products(operations: float, batch: int) -> Least:
    wanted, done = operations * batch, max(operations * batch, limits.FEWEST_OPERATIONS)
    factor = wanted / limits.product_operations(done)
    return Least("matrix products, as many operations", limits.products(done), factor)


def _task(
    name: str, subject: Subject, runtime: Runtime, tiles: TileBatch, least: Least | None
) -> Task:
    count, whole = len(tiles.index), len(subject.whole)
    return Task(name, "tiles", count, whole, lambda: list(runtime.predict([tiles])), least)


def copy_tasks(subject: Subject, runtime: Runtime, left_out: list[str]) -> Iterator[Task]:
    """A batch's way to the device and its outputs' way back; measure each before the next is
    taken: their memory is held for as long."""
    if not isinstance(runtime, RuntimeOnDevice):
        left_out.append(_NO_DEVICE)
        return
    with runtime.copies() as copies:
        for name, own, large in (
            (TO_DEVICE, copies.to_device, copies.large_to_device),
            (TO_HOST, copies.to_host, copies.large_to_host),
        ):
            yield _copy_task(name, own, large, (runtime.batch_size, len(subject.whole)))


def _copy_task(name: str, own: Copy, large: Copy, tiles: tuple[int, int]) -> Task:
    """Beside as many bytes of a large block: of a small batch, starting is the larger part."""
    words = f"the same bytes of {large.byte_count >> 20} MiB, pinned"
    least: Any = Least(words, large.run, own.byte_count / large.byte_count)
    return Task(name, "tiles", *tiles, own.run, least)
