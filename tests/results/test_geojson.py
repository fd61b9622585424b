import dataclasses
import json
from pathlib import Path

import pytest
import shapely

from tests.examples import example_flag, example_heatmap
from wsi_ai.results.geojson import write_geojson


def test_each_finding_is_a_whole_polygon_in_level_0_pixels_with_its_measurements(
    tmp_path: Path,
) -> None:
    flag = example_flag()
    write_geojson(tmp_path / "findings.geojson", flag)
    text = (tmp_path / "findings.geojson").read_text("utf-8")
    collection = json.loads(text)
    assert text == json.dumps(collection, indent=2, ensure_ascii=False) + "\n"
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) == len(flag.findings) > 64
    for feature, finding in zip(collection["features"], flag.findings, strict=True):
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        cell = example_heatmap().step
        assert shape.area == pytest.approx(finding.cells * cell.x * cell.y, rel=1e-3)
        assert feature["properties"]["objectType"] == "annotation"
        assert feature["properties"]["classification"]["name"] == finding.label
        assert feature["properties"]["measurements"]["Tiles"] == finding.cells


def test_on_a_slide_with_bounds_all_is_counted_from_their_corner(tmp_path: Path) -> None:
    """As QuPath does, which shows nothing but the scanned part."""
    flag = example_flag()
    within = dataclasses.replace(flag.slide, bounds_origin=(2560, 1536))
    rings = []
    for one in (flag, dataclasses.replace(flag, slide=within)):
        write_geojson(tmp_path / "findings.geojson", one)
        collection = json.loads((tmp_path / "findings.geojson").read_text("utf-8"))
        assert collection["origin_px"] == list(one.slide.bounds_origin)
        rings.append(collection["features"][0]["geometry"]["coordinates"][0])
    assert [[x - 2560, y - 1536] for x, y in rings[0]] == rings[1]
