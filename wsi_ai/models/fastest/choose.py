"""The device that ``auto`` takes: as it was measured before, or is measured now."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.timing import timestamp
from wsi_ai.inference.registry import host_devices
from wsi_ai.models.fastest.choice import ByRule, Choice, Measured, NotMeasured, Rate
from wsi_ai.models.fastest.kept import FOLDER, alone, keep, kept
from wsi_ai.models.fastest.question import Question, question_of

log = logging.getLogger(__name__)
Contest = Callable[[ModelCard, RuntimeRequest, Sequence[str]], tuple[Rate, ...]]
_PATIENCE_S = 600.0
"""For another process that measures the same."""
_EVEN = 1.02
"""A device this much faster than one before it is none: the next measurement would say otherwise,
and every slide would be inferred again."""


def choose(
    card: ModelCard, request: RuntimeRequest, devices: Sequence[str], by: Contest | None = None
) -> Choice:
    """Of several ``devices`` of the host.  What cannot be kept is not measured either: the next run
    could choose another device, and ask every slide anew."""
    question = question_of(card, request, devices)
    if (found := kept(question)) is not None:
        return found
    try:
        with alone(question, _PATIENCE_S):
            return kept(question) or _measured(card, request, question, by or _contest)
    except TimeoutError:
        return ByRule("another process has measured the same for too long")
    except OSError as error:
        return ByRule(f"a choice cannot be kept or made: {error.strerror}; see {FOLDER}")


def _measured(card: ModelCard, request: RuntimeRequest, question: Question, by: Contest) -> Choice:
    """Raises OSError."""
    log.info("measuring which device runs %s fastest", card.ref.label)
    try:
        rates = by(card, request, question["devices"])
    except NotMeasured as error:
        return ByRule(str(error))
    choice = fastest(rates)
    if isinstance(choice, Measured):
        keep(question, choice)
    return choice


def known(card: ModelCard, request: RuntimeRequest) -> Measured | None:
    """What was measured before, on this machine as it is."""
    return kept(question_of(card, request, host_devices(card)))


def slower_than_fp32(card: ModelCard, int8: Choice) -> str:
    """In words, where fp32 was measured too and is the faster one here; else empty.  A precision is
    never chosen: it may change a flag."""
    plain = replace(card, ref=replace(card.ref, sha256=card.original_sha256))
    fp32 = known(plain, RuntimeRequest()) if card.original_sha256 else None
    if fp32 is None or not isinstance(int8, Measured) or fp32.best <= int8.best * _EVEN:
        return ""
    return f"int8 is slower than fp32 here: {int8.best:g} and {fp32.best:g} tiles/s"


def fastest(rates: Sequence[Rate]) -> Choice:
    """Of those with a rate; where two are even, the one that stands first."""
    ran = [(rate.tiles_per_s, rate.device) for rate in rates if rate.tiles_per_s is not None]
    if not ran:
        return ByRule("no device ran the model", tuple(rates))
    best = max(speed for speed, _ in ran)
    device = next(device for speed, device in ran if speed * _EVEN >= best)
    return Measured(device, tuple(rates), timestamp(datetime.now(UTC)))


def _contest(card: ModelCard, request: RuntimeRequest, devices: Sequence[str]) -> tuple[Rate, ...]:
    from wsi_ai.models.fastest.contest import contest

    return contest(card, request, devices)
