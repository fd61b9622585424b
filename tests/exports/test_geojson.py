import json

import pytest
import shapely

from tests.examples import example_flag, example_heatmap
from wsi_ai.exports.geojson import findings_geojson


def test_each_finding_is_a_whole_polygon_in_level_0_pixels_with_its_measurements() -> None:
    flag = example_flag()
    collection = json.loads(json.dumps(findings_geojson(flag)))
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
