"""A job as the API shows it."""

from collections.abc import Mapping
from typing import Any

from wsi_ai.core.timing import timestamp_of
from wsi_ai.service.api import job_rows
from wsi_ai.service.api.parts import ApiParts

_NO_ANSWER: Mapping[str, Any] = {"level": None, "reason": None, "flag_ids": []}


def with_place(parts: ApiParts, row: Any) -> dict[str, Any]:
    place = job_rows.place(parts.engine, row)
    expected = job_rows.expected_s(parts.engine, row, place, parts.clock())
    return {**shown(parts, row), "place": place, "expected_s": expected}


def shown(parts: ApiParts, row: Any) -> Mapping[str, Any]:
    """Of a model on trial, nobody sees the answer."""
    answer = {"level": row.level, "reason": row.reason, "flag_ids": row.flag_ids}
    return {
        "job_id": row.job_id,
        "state": row.state,
        "trust": row.trust,
        "network": row.network,
        "slide": row.slide_uri,
        "models": [parts.public_name(name) for name in row.models],
        "case": row.case,
        "priority": row.priority,
        "submitted": timestamp_of(row.created),
        "submitted_by": row.submitted_by,
        "due_by": timestamp_of(row.due_by),
        "attempt": row.attempt,
        "planned": row.planned,
        "passed": row.passed,
        "on_trial": row.silent,
        **(_NO_ANSWER if row.silent else answer),
    }
