import copy
import dataclasses
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis.extra import numpy as npst

from tests.examples import PROVENANCE, example_flag, example_heatmap
from wsi_ai import schemas
from wsi_ai.core.corners import Corners
from wsi_ai.core.flags import STATEMENT, Finding, Level
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.events import answer_digest, as_version
from wsi_ai.delivery.messages import Version
from wsi_ai.results.flag_json import SCHEMA, flag_json
from wsi_ai.triage.judge import TriagePolicy, not_assessed
from wsi_ai.triage.outlines import trace_outlines


@pytest.fixture(scope="module")
def body() -> dict[str, Any]:
    return flag_json(example_flag(), PROVENANCE)


def test_it_says_what_was_decided_and_by_what(body: dict[str, Any]) -> None:
    flag = example_flag()
    assert body["result"]["level"] == "expedite"
    assert body["result"]["score"] >= body["result"]["threshold"]["value"] == 0.5
    assert body["slide"]["image_sha256"] == flag.slide.fingerprint
    assert body["qc"]["analysed_fraction"] == pytest.approx(62 / 82, abs=1e-6)
    assert body["evidence"]["n_tiles"] == 82 * 133
    assert body["model"]["weights_sha256"] == "0" * 64
    assert body["regulatory"]["statement"] == STATEMENT


def test_the_same_flag_gives_the_same_bytes() -> None:
    a, b = (json.dumps(flag_json(example_flag(), PROVENANCE)) for _ in range(2))
    assert a == b


def test_it_stays_small_whatever_was_found_and_says_what_it_left_out(
    body: dict[str, Any],
) -> None:
    assert len(json.dumps(body)) <= 20_000
    assert body["evidence"]["truncated"] is True


@given(npst.arrays(np.bool_, (92, 133)))
def test_regions_are_valid_polygons_near_what_was_found(positive: np.ndarray) -> None:
    heatmap = example_heatmap()
    scores = np.where(positive & heatmap.planned, 0.9, 0.1).astype(np.float32)
    flag = example_flag(dataclasses.replace(heatmap, scores=np.stack([1 - scores, scores])))
    regions = flag_json(flag, PROVENANCE)["evidence"]["regions"]
    for region, finding in zip(regions, flag.findings, strict=False):
        told, found = shapely.Polygon(region["points"]), shapely.Polygon(finding.outline)
        assert told.is_valid
        assert told.intersects(found)


def test_an_outline_that_cannot_be_simplified_does_not_keep_its_flag_from_being_written() -> None:
    """Of some intricate regions no tolerance leaves few corners, for that needs crossings."""
    field = np.random.default_rng(3).random((1500, 1500), np.float32)[390:810, :410]
    positive = cv2.GaussianBlur(field, (0, 0), 2)[10:410, :400] > 0.502
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        positive.astype(np.uint8), connectivity=4
    )
    for n in 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:20]:
        outline = Corners(trace_outlines([labels == n])[0] * 32.0)
        finding = Finding("tumour", outline, (), 0.9, 0.8, 1.0, int(stats[n, cv2.CC_STAT_AREA]))
        flag = dataclasses.replace(example_flag(), findings=(finding,))
        (region,) = flag_json(flag, PROVENANCE)["evidence"]["regions"]
        told = shapely.Polygon(region["points"])
        assert len(region["points"]) <= 24
        assert told.is_valid
        assert told.intersects(shapely.Polygon(outline))


def test_a_slide_that_could_not_be_looked_at_is_not_assessed_and_has_no_score() -> None:
    flag = example_flag()
    missing = not_assessed(flag.slide, flag.model, TriagePolicy(), "there is no such file", None)
    body = flag_json(missing, PROVENANCE)
    assert body["action"] == body["result"]["level"] == "not_assessed"
    assert body["result"]["score"] is None
    assert body["result"]["explanation"] == "there is no such file"


def change(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    *way, last = path.split(".")
    place = changed
    for name in way:
        place = place[name]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("result.level", "benign"),
        ("result.level", "negative"),
        ("result.level", "not_assessed"),  # with a score and the action "raise"
        ("result.score", 1.1),
        ("result.score", None),
        ("qc.status", "fail"),
        ("action", "retract"),
        ("action", "amend"),
        ("regulatory.statement", "Cleared for diagnosis."),
        ("regulatory.status", "registered_device"),
        ("regulatory.clinical_review_required", False),
        ("slide.patient_name", "x"),
        ("timestamps.issued", "2026-06-01T12:00:00+01:00"),
        ("flag_id", "1"),
    ],
)
def test_the_schema_refuses(body: dict[str, Any], path: str, value: object) -> None:
    assert schemas.complaint(SCHEMA, body) is None
    assert schemas.complaint(SCHEMA, change(body, path, value)) is not None


def test_summer_time_is_told_in_utc() -> None:
    bst = timezone(timedelta(hours=1))
    assert timestamp(datetime(2026, 6, 1, 13, 0, 0, 5999, tzinfo=bst)) == "2026-06-01T12:00:00.005Z"


def test_there_is_no_level_that_means_benign() -> None:
    assert {level.value for level in Level} == {"expedite", "standard", "not_assessed"}


def test_what_was_chosen_against_the_file_stands_in_the_flag_and_is_another_answer() -> None:
    flag = example_flag()
    stated = dataclasses.replace(flag.slide, stated=flag.slide.spacing)
    plain = flag_json(dataclasses.replace(flag, slide=stated), PROVENANCE)
    assert plain == flag_json(flag, PROVENANCE)
    assert plain["extensions"] == {}
    overridden = dataclasses.replace(flag.slide, stated=Spacing(0.5, 0.5), image="Image_1")
    chosen = flag_json(dataclasses.replace(flag, slide=overridden), PROVENANCE)
    assert chosen["extensions"] == {"image": "Image_1", "file_mpp": 0.5, "used_mpp": 0.255}
    assert chosen["slide"] == plain["slide"]
    assert schemas.complaint(SCHEMA, chosen) is None
    assert answer_digest(chosen) != answer_digest(plain)
    as_before = as_version(plain, Version.V1_0)
    assert answer_digest(plain) == answer_digest(as_before)
