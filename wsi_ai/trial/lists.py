"""A reading list as a person describes it, from TOML."""

from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.errors import TrialError
from wsi_ai.trial.waiting.cases import Accuracy, Demand, Reading
from wsi_ai.trial.waiting.reading import Staff
from wsi_ai.trial.waiting.scenario import Scenario
from wsi_ai.trial.waiting.week import DAY_S, weekdays
from wsi_ai.trial.waiting.worklist import Order

SCHEMA = "trial-list-1"


def load_list(path: Path) -> Scenario:
    """Raises TrialError, which names the field."""
    table = schemas.load_toml(path, SCHEMA, "list", TrialError)
    flags, readers, runs = table["flags"], table["readers"], table.get("runs", {})
    if readers["to_hour"] <= readers["from_hour"]:
        raise TrialError("list: readers.to_hour: is not after from_hour")
    promise_days = flags.get("promise_days")
    return Scenario(
        demand=_demand(table["cases"], readers.get("spread", 1.0)),
        accuracy=Accuracy(
            flags["sensitivity"], flags["specificity"], flags.get("not_assessed", 0.0)
        ),
        staff=Staff(readers["number"], weekdays(readers["from_hour"], readers["to_hour"])),
        order=Order(
            flags_after_s=round(60 * flags.get("after_min", 0)),
            promise_s=None if promise_days is None else round(DAY_S * promise_days),
        ),
        weeks=runs.get("weeks", 12),
        runs=runs.get("number", 10),
        seed=runs.get("seed", 0),
    )


def _demand(cases: dict[str, Any], spread: float) -> Demand:
    on_weekends = cases.get("on_weekends", False)
    condition = cases.get("reading_condition_min")
    return Demand(
        per_hour=cases["per_week"] / (24 * (7 if on_weekends else 5)),
        prevalence=cases["with_condition"],
        reading=Reading(cases["reading_min"], spread),
        reading_condition=None if condition is None else Reading(condition, spread),
        urgent=cases.get("urgent", 0.0),
        reading_urgent=Reading(cases.get("reading_urgent_min", cases["reading_min"]), spread),
        releases_h=tuple(cases.get("releases_h", ())),
        on_weekends=on_weekends,
        backlog=cases.get("backlog", 0),
    )
