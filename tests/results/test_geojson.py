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
        assert feature["properties"]["classification"]["name"] == "Red"
        assert feature["properties"]["measurements"]["Tiles"] == finding.cells
