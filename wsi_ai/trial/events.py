"""What happened besides: new firmware, an incident, harm.  Lines of the ledger, with their date."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from wsi_ai.errors import TrialError
from wsi_ai.slides.spreadsheet import unfit
from wsi_ai.trial.reference import is_nhs_number
from wsi_ai.trial.sealing import Trial, alone

EVENT = "event"
_LONGEST = 200
_DIGITS = re.compile(r"[0-9][0-9 -]{8,}[0-9]")


def add_event(trial: Trial, what: str, on: str = "", *, harm: bool = False) -> None:
    """``on`` is a date, or empty: today.  Raises TrialError or OutputError."""
    what = what.strip()
    if not what or len(what) > _LONGEST or unfit(what):
        raise TrialError(f"an event is said in 1 to {_LONGEST} characters of one line")
    if any(is_nhs_number(found[0]) for found in _DIGITS.finditer(what)):
        raise TrialError("the event has what looks like an NHS number; name no patient")
    day = _date(on) if on else datetime.now(UTC).date()
    with alone(trial):
        trial.ledger.append([{"what": EVENT, "on": day.isoformat(), "text": what, "harm": harm}])


def events(ledger: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By their dates."""
    found = [line for line in ledger if line["what"] == EVENT]
    names = ("on", "text", "harm")
    return [{n: line[n] for n in names} for line in sorted(found, key=lambda line: line["on"])]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TrialError("--on: is not a date, as 2027-01-31") from None
