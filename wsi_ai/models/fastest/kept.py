"""Choices between runs: a file each in the user's cache, named by the digest of its question.

What a file says only picks one of the devices that are here: a runtime is held to the golden tiles
each time it opens.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsi_ai.core.environment import cache_folder, from_environment
from wsi_ai.core.files import lock_at_once, write_whole
from wsi_ai.core.regular_file import read_regular
from wsi_ai.models.fastest.choice import Measured, Rate
from wsi_ai.models.fastest.question import Question, digest_of
from wsi_ai.schemas.reading import from_json

log = logging.getLogger(__name__)
FOLDER = "WSI_AI_CHOICES"
_MOST, _PAUSE_S = 1 << 16, 0.1


def place_of(question: Question) -> Path:
    folder = Path(from_environment(FOLDER) or cache_folder() / "choices")
    return folder / f"{digest_of(question)}.json"


def kept(question: Question) -> Measured | None:
    """``None`` where there is none, or where the file is damaged or answers something else."""
    place = place_of(question)
    try:
        found = from_json(read_regular(place, _MOST))
        if found["question"] == dict(question):
            return _read(found["choice"])
        log.warning("%s answers another question: measured anew", place)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("%s is damaged: measured anew", place)
    return None


def keep(question: Question, choice: Measured) -> None:
    """Whole or not at all.  Raises OSError."""
    rates = [
        {"device": r.device, "runtime": r.runtime, "rate": r.tiles_per_s, "reason": r.reason}
        for r in choice.rates
    ]
    said = {"device": choice.device, "at": choice.at, "rates": rates}
    text = json.dumps({"question": question, "choice": said}, indent=1)
    place = place_of(question)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, f"{text}\n".encode())


@contextmanager
def alone(question: Question, patience_s: float) -> Iterator[None]:
    """Among the processes that would answer this question: two that measure at once would measure
    each other.  Raises OSError where nothing can be kept, TimeoutError after ``patience_s``."""
    place = place_of(question).with_suffix(".lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    handle = _locked(place, time.monotonic() + patience_s)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        os.close(handle)


def _locked(place: Path, until_s: float) -> int:
    while True:
        try:
            return lock_at_once(place)
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise TimeoutError from None
            time.sleep(_PAUSE_S)


def _read(said: dict[str, Any]) -> Measured:
    """Raises ValueError, KeyError or TypeError where it is no choice."""
    rates = tuple(_rate(row) for row in said["rates"])
    ran = {rate.device for rate in rates if rate.tiles_per_s is not None}
    if said["device"] not in ran:
        raise ValueError("the device that was chosen has no rate")
    return replace(Measured(said["device"], rates, str(said["at"])), kept=True)


def _rate(row: dict[str, Any]) -> Rate:
    number = None if row["rate"] is None else float(row["rate"])
    return Rate(str(row["device"]), str(row["runtime"]), number, str(row["reason"]))
