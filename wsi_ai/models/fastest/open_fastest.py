"""A runtime by ``--device auto``, and how it was chosen."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.registry import (
    AUTO,
    check_precision,
    host_devices,
    open_accelerator,
    open_on_host,
    open_runtime,
)
from wsi_ai.models.fastest.choice import ByRule, Choice, Measured
from wsi_ai.models.fastest.choose import choose, slower_than_fp32

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChosenRuntime:
    """A runtime of the host that was chosen among several."""

    runtime: Runtime
    choice: Choice

    @property
    def card(self) -> ModelCard:
        return self.runtime.card

    @property
    def batch_size(self) -> int:
        return self.runtime.batch_size

    @property
    def description(self) -> str:
        return self.runtime.description

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        return self.runtime.predict(batches)


def open_fastest(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """As ``registry.open_runtime``, but for ``auto`` on the host: there the device is the one that
    was measured to be the fastest, in the precision that was asked for.

    A device that is there is taken as before: what it also does for reading is no part of a batch.
    """
    if request.device != AUTO:
        return open_runtime(card, request)
    check_precision(card, request)
    found = open_accelerator(card, request)
    if found is not None:
        return found
    devices = host_devices(card)
    if len(devices) < 2:
        return open_on_host(card, request)
    choice = choose(card, request, devices)
    if card.precision is Precision.INT8 and (note := slower_than_fp32(card, choice)):
        log.warning("%s", note)
    return open_chosen(card, request, choice)


def choice_record(runtime: Runtime) -> dict[str, Any] | None:
    """What run.json says of it; ``None`` where nothing was to be chosen."""
    return runtime.choice.as_record() if isinstance(runtime, ChosenRuntime) else None


def open_chosen(card: ModelCard, request: RuntimeRequest, choice: Choice) -> ChosenRuntime:
    """By the rule where the device that was measured does not open.  Raises as ``open_on_host``."""
    log.info("--device auto: %s", choice)
    if isinstance(choice, Measured):
        try:
            chosen = open_runtime(card, replace(request, device=choice.device))
        except (DeviceError, ModelError) as error:
            log.warning("--device auto: %s does not open: %s", choice.device, error)
            choice = ByRule(f"{choice.device} was measured and does not open", choice.rates)
        else:
            return ChosenRuntime(chosen, choice)
    return ChosenRuntime(open_on_host(card, request), choice)
