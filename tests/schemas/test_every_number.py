"""Every number of every setting × nan, inf, -inf, 1e308, -0.0: none makes a slide `standard`."""

import copy
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from wsi_ai import schemas
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.errors import ModelError, PolicyError, SinkError, WsiAiError
from wsi_ai.models.golden import load_golden
from wsi_ai.models.manifest import load_card
from wsi_ai.schemas.reading import Unreadable, from_json
from wsi_ai.triage.policy import load_policy

SETTINGS = ("cases-1", "golden-1", "heartbeat-1.0", "model-card-1", "policy-1", "sinks-1",
            "site-1", "wsinfer-model-1")  # fmt: skip
Way = tuple[Any, ...]
AREA = {"threshold": 0.5, "area_mm2": 0.5, "tissue_share": 0.25, "smallest_region_mm2": 0.1}
COMMON = {
    "name": "x",
    "coverage": {"min": 0.9},
    "quality": {"focus_min": 0.6, "pen_max": 0.1, "tissue_min": 0.01},
}
PARTS = [{"tiles": 3}, {"top_tiles": 3}, {"objects": 3}, {"objects": 2, "within_mm2": 2.5}]
SINK = {"name": "a", "url": "file:///tmp/x", "trusts": ["RXX"], "timeout_s": 5.0,
        "heartbeat_s": 60.0}  # fmt: skip


def numbers_of(schema: Any, way: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        kind = schema.get("type", ())
        if {"number", "integer"} & set([kind] if isinstance(kind, str) else kind):
            yield way, schema
        for name, part in schema.items():
            yield from numbers_of(part, f"{way}/{name}")
    elif isinstance(schema, list):
        for n, part in enumerate(schema):
            yield from numbers_of(part, f"{way}/{n}")


NUMBERS = [
    (name, way, part)
    for name in SETTINGS
    for way, part in numbers_of(schemas.validator(name).schema)
]


@pytest.mark.parametrize(("name", "way", "part"), NUMBERS, ids=[f"{n}{w}" for n, w, _ in NUMBERS])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, -1e308])
def test_no_number_of_a_setting_is_without_bounds(
    name: str, way: str, part: dict[str, Any], value: float
) -> None:
    """What is not finite the reader refuses; what is, the schema."""
    if math.isfinite(value):
        assert schemas.complaint_of(part, value) is not None
    else:
        with pytest.raises(Unreadable, match="is no number to reckon with"):
            from_json(json.dumps({"x": value}))


def test_a_whole_number_is_written_as_one() -> None:
    for value in (2.0, True, 1e9):
        assert schemas.complaint_of({"type": "integer"}, value) is not None


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def as_toml(table: dict[str, Any], way: Way, literal: str) -> str:
    """With a literal in one place."""
    spoiled = copy.deepcopy(table)
    place: Any = spoiled
    for name in way[:-1]:
        place = place[name]
    place[way[-1]] = "@@"
    lines = (f"{json.dumps(name)} = {toml(part)}" for name, part in spoiled.items())
    return "\n".join(lines).replace('"@@"', literal)


def ways(value: Any, way: Way = ()) -> Iterator[Way]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ways(part, (*way, name))
    elif isinstance(value, list):
        for n, part in enumerate(value):
            yield from ways(part, (*way, n))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield way


@dataclass(frozen=True)
class Kind:
    """A file of settings, and what reads it."""

    tables: list[dict[str, Any]]
    load: Callable[[Path], Any]
    error: type[WsiAiError]


def card_beside(text: Path) -> Any:
    """Read as the card of the demo model would be."""
    folder = text.parent / "model"
    folder.mkdir(exist_ok=True)
    for file in (ROOT / "models" / "demo-tumour").iterdir():
        if file.is_file() and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    (folder / "card.toml").write_text(text.read_text())
    return load_card(folder / "card.toml")


KINDS = {
    "policy": Kind(
        [{**COMMON, "rule": AREA}, {**COMMON, "rule": {"threshold": 0.5, "any": PARTS}}],
        load_policy, PolicyError,
    ),
    "sinks": Kind([{"sink": [SINK]}], lambda path: load_endpoints([str(path)]), SinkError),
    "card": Kind(
        [tomllib.loads((ROOT / "models" / "demo-tumour" / "model.toml").read_text())],
        card_beside, ModelError,
    ),
}  # fmt: skip
CASES = [
    (kind, n, way)
    for kind, known in KINDS.items()
    for n, table in enumerate(known.tables)
    for way in ways(table)
]


@pytest.mark.parametrize(("kind", "n", "way"), CASES, ids=lambda v: str(v))
def test_a_number_that_is_none_or_beyond_all_bounds_is_refused_and_named(
    tmp_path: Path, kind: str, n: int, way: Way
) -> None:
    known, path = KINDS[kind], tmp_path / "settings.toml"
    for literal in ("nan", "inf", "-inf", "1e308", "-1e308"):
        path.write_text(as_toml(known.tables[n], way, literal))
        with pytest.raises(known.error, match=re.escape(".".join(map(str, way)))):
            known.load(path)


@pytest.mark.parametrize(("kind", "n", "way"), CASES, ids=lambda v: str(v))
def test_a_zero_with_a_sign_says_what_zero_says(
    tmp_path: Path, kind: str, n: int, way: Way
) -> None:
    known, path, found = KINDS[kind], tmp_path / "settings.toml", []
    for literal in ("-0.0", "0.0"):
        path.write_text(as_toml(known.tables[n], way, literal))
        try:
            read = re.sub("manifest_sha256='[0-9a-f]+'| at 0x[0-9a-f]+", "", repr(known.load(path)))
        except known.error as error:
            read = str(error)
        found.append(read)
    assert found[0] == found[1]
    assert "-0.0" not in found[0]


def test_golden_scores_that_are_none_are_refused(tmp_path: Path) -> None:
    source = ROOT / "models" / "demo-tumour"
    for file in source.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (tmp_path / "golden.json").read_text()
    table = json.loads(text)
    for value in (math.nan, math.inf, -math.inf, 1e308):
        table["tiles"][1]["scores"][0] = value
        (tmp_path / "golden.json").write_text(json.dumps(table))
        with pytest.raises(ModelError, match=r"golden\.json.* tiles\.1\.scores\.0: "):
            load_golden(load_card(tmp_path))
