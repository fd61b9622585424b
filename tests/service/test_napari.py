"""A heatmap in napari lies where it belongs: by what is handed over, and by napari's own model."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.service.viewer.parts import analysed, ramp, write_jpeg_slide
from wsi_ai.cli import app
from wsi_ai.service.napari import Layer, add_layers, layers_of
from wsi_ai.service.viewer.runs import open_results
from wsi_ai.slides.registry import open_slide

IN_NAPARI = """
import json, sys
import numpy as np
from napari.components import ViewerModel
viewer, found = ViewerModel(), []
for layer in json.load(open(sys.argv[1])):
    data = [np.zeros(shape, layer["dtype"]) for shape in layer["shapes"]]
    shown = viewer.add_image(data, **layer["settings"])
    found.append([list(map(float, shown.data_to_world(place))) for place in layer["places"]])
print(json.dumps(found))
"""


class Recorder:
    """Stands in for napari's viewer."""

    def __init__(self) -> None:
        self.layers: list[tuple[list[Any], dict[str, Any]]] = []

    def add_image(self, data: list[Any], **settings: Any) -> None:
        self.layers.append((data, settings))


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Layer]]:
    folder = tmp_path_factory.mktemp("napari")
    path = write_jpeg_slide(folder / "slide.tif", 640, (1, 4))
    results = analysed(path, folder / "out")
    with open_slide(path) as slide:
        yield layers_of(slide, [open_results(results, slide.info)])


def world(layer: Layer, place: tuple[float, float]) -> tuple[float, ...]:
    """As napari places a pixel's middle."""
    scale, shift = layer.settings["scale"], layer.settings.get("translate", (0.0, 0.0))
    return tuple(at * s + t for at, s, t in zip(place, scale, shift, strict=True))


def test_a_cell_s_corner_falls_on_the_pixel_that_it_covers_first(layers: list[Layer]) -> None:
    """In micrometres from the middle of level-0 pixel (0, 0): a cell covers 64 px of 0.5 µm."""
    slide, heat = layers
    for row, col in ((0, 0), (3, 7)):
        corner = world(heat, (row - 0.5, col - 0.5))
        assert corner == pytest.approx(world(slide, (64 * row - 0.5, 64 * col - 0.5)))


def test_what_is_handed_over_reads_the_slide_s_and_the_map_s_own_values(
    layers: list[Layer],
) -> None:
    recorder = Recorder()
    add_layers(recorder, layers)
    (slide, settings), (heat, _) = recorder.layers
    assert settings["rgb"]
    assert [level.shape for level in slide] == [(640, 640, 3), (160, 160, 3)]
    shown = slide[0][100:140, 200:300]
    assert np.abs(shown.astype(int) - ramp(640)[100:140, 200:300]).max() < 12
    assert slide[0][0:20:2, 0:10, 0].shape == (10, 10)
    values = np.asarray(heat[0])
    assert values.shape == (10, 10)
    assert np.nanmax(values) <= 1
    assert "unverified" in recorder.layers[1][1]["name"]


def test_napari_s_own_model_places_the_heatmap_on_the_slide(
    layers: list[Layer], tmp_path: Path
) -> None:
    """In an environment of its own: WSI_AI_NAPARI_PYTHON names its Python."""
    python = os.environ.get("WSI_AI_NAPARI_PYTHON")
    if python is None:
        pytest.skip("no napari: WSI_AI_NAPARI_PYTHON names a Python that has it")
    places = [(0, 0), (3, 7)]
    asked = [
        {
            "dtype": str(layer.data[0].dtype),
            "shapes": [level.shape for level in layer.data],
            "settings": layer.settings,
            "places": [(r * f, c * f) for r, c in places],
        }
        for layer, f in zip(layers, (64, 1), strict=True)
    ]
    (tmp_path / "layers.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [python, "-c", IN_NAPARI, str(tmp_path / "layers.json")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    slide, heat = json.loads(done.stdout.splitlines()[-1])
    half_um = 64 * 0.5 / 2
    for first_pixel, middle in zip(slide, heat, strict=True):
        wanted = [at + half_um - 0.25 for at in first_pixel]
        assert middle == pytest.approx(wanted, abs=0.01 * half_um)


def test_ome_zarr_py_reads_the_same_place_from_the_file(
    layers: list[Layer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ome_zarr = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    location = pytest.importorskip("ome_zarr.io", reason="ome-zarr is not installed")
    folder = tmp_path_factory.mktemp("ome")
    results = analysed(write_jpeg_slide(folder / "slide.tif"), folder / "out")
    opened = location.parse_url(str(results / "heatmap.ome.zarr"))
    node = next(iter(ome_zarr.Reader(opened)()))
    scale, translation = node.metadata["coordinateTransformations"][0]
    assert scale["scale"][1:] == pytest.approx(list(layers[1].settings["scale"]))
    assert translation["translation"][1:] == pytest.approx(list(layers[1].settings["translate"]))


def test_the_command_without_napari_names_the_extra_and_without_the_slide_the_option(
    tmp_path: Path,
) -> None:
    slide = write_jpeg_slide(tmp_path / "slide.tif")
    analysed(slide, tmp_path / "out")
    said = CliRunner().invoke(app, ["open-in-napari", str(tmp_path / "out")])
    assert said.exit_code == 2
    assert "wsi-ai[napari]" in said.output
    nothing = CliRunner().invoke(app, ["open-in-napari", str(tmp_path / "nothing")])
    assert "no results of a run" in nothing.output
