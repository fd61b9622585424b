"""docs/formats.md says of each field and format what becomes of it: held to the renderings."""

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.formats.flags import DICOM
from wsi_ai.delivery.formats.event import FlagEvent, event_for
from wsi_ai.delivery.formats.registry import FORMATS
from wsi_ai.testing import example_body

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
FLAG_ID = "5d2f0c1e-0000-4000-8000-000000000001"
CHECK = {"name": "focus", "status": "fail", "value": 0.9, "limit": 0.6, "meaning": "sharp"}
REGION = {
    "region_id": "r1",
    "shape": "polygon",
    "coords": "level0_px",
    "points": [[1, 2], [3, 4], [5, 60]],
    "score": 0.9,
    "area_mm2": 0.5,
}


def whole() -> FlagEvent:
    """With something in every field; a flag that was taken back says why, and one that was not
    has its shapes, so the two are looked at apart."""
    body = example_body(FLAG_ID)
    body["evidence"] = body["evidence"] | {"regions": [REGION]}
    body["qc"] = body["qc"] | {"checks": [CHECK]}
    body["regulatory"] = body["regulatory"] | {"device_id": "udi-1"}
    body["extensions"] = {"dicom": DICOM, "used_mpp": 0.25}
    return event_for(body | {"supersedes": "evt_0", "revision": 2, "action": "amend"})


def rows() -> dict[str, dict[str, str]]:
    """By field: what becomes of it in each format."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    (start,) = [n for n, line in enumerate(lines) if line.startswith("| field of the flag")]
    names = [cell.strip(" `") for cell in lines[start].strip("|").split("|")][1:]
    table = {}
    for line in filter(lambda line: line.count("|") == len(names) + 2, lines[start + 1 :]):
        field, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        for one in field.split(","):
            table[one.strip(" `")] = dict(zip(names, cells, strict=True))
    return table


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from leaves(part, (*path, name))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*path, 0))
    else:
        yield path


OTHERS = {
    "action": "raise",
    "retraction_reason": "operator",
    "environment": "production",
    "result.level": "standard",
    "result.score_kind": "calibrated_probability",
    "qc.status": "fail",
    "qc.checks.status": "pass",
    "timestamps.started": "2020-01-01T00:00:00.000Z",
    "timestamps.finished": "2020-01-01T00:00:00.000Z",
    "timestamps.issued": "2020-01-01T00:00:00.000Z",
    "regulatory.status": "investigational",
    "extensions.dicom.study_uid": "2.25.11",
    "extensions.dicom.series_uid": "2.25.12",
    "extensions.dicom.sop_uid": "2.25.13",
}


def another(field: str, value: Any) -> Any:
    if field in OTHERS:
        return OTHERS[field]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return (value / 2 or 0.5) if isinstance(value, float) else value + 1
    return f"{value or ''}x"


def changed(event: FlagEvent, path: tuple[Any, ...]) -> FlagEvent:
    body = copy.deepcopy(dict(event.flag))
    inside: Any = body
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = another(name_of(path), inside[path[-1]])
    if path == ("retraction_reason",):
        body["action"] = "retract"
    return dataclasses.replace(event, flag=body)


def name_of(path: tuple[Any, ...]) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def row_of(table: dict[str, dict[str, str]], path: tuple[Any, ...]) -> dict[str, str]:
    """The row of the field itself, or of the nearest thing that it is in."""
    names = name_of(path).split(".")
    for length in range(len(names), 0, -1):
        if row := table.get(".".join(names[:length])):
            return row
    pytest.fail(f"docs/formats.md has no row for {name_of(path)}")


HELD_STILL = {
    "schema_version",
    "flag_id",
    "regulatory.clinical_review_required",
    "regulatory.statement",
    "evidence.regions.shape",
    "evidence.regions.coords",
}
"""Constants, and the id: what is read back of them is in ``test_formats``."""


@pytest.mark.parametrize("name", FORMATS)
def test_the_page_says_what_becomes_of_each_field(name: str) -> None:
    event, table, wrong = whole(), rows(), []
    before = FORMATS[name].render(event)
    for path in leaves(event.flag):
        if name_of(path) in HELD_STILL:
            continue
        told = row_of(table, path)[name].split(" ")[0].strip("*:,")
        assert told in ("carried", "shortened", "lost")
        seen = FORMATS[name].render(changed(event, path)) != before
        if seen != (told != "lost"):
            wrong.append((name_of(path), told, seen))
    assert wrong == []
