"""The models without training: built as they are committed, and finding what is there."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from wsi_ai.core.cards import Task
from wsi_ai.models.manifest import load_card

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", MODELS / "build_demo_tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    path = MODELS / name / f"{name}.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"tiles": tiles})[0])


def stained(density: NDArray[np.float64], vector: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Lambert and Beer: so much of a stain on white glass."""
    unit = np.array(vector) / np.linalg.norm(vector)
    light = 255 * np.exp(-density[..., None] * unit)
    return np.rint(light).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["demo-stains", "demo-nuclei"])
def test_the_weights_are_what_the_builder_builds(
    builder: ModuleType, tmp_path: Path, name: str
) -> None:
    builder.build(tmp_path)
    built, kept = (onnx.load(f / name / f"{name}.onnx").graph for f in (tmp_path, MODELS))
    assert [(n.op_type, *n.input, *n.output) for n in built.node] == [
        (n.op_type, *n.input, *n.output) for n in kept.node
    ]
    for one, other in zip(built.initializer, kept.initializer, strict=True):
        np.testing.assert_allclose(
            onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other), rtol=1e-6
        )


def test_their_cards_load_with_their_tasks() -> None:
    assert load_card(MODELS / "demo-stains").task is Task.SEGMENTATION
    assert load_card(MODELS / "demo-nuclei").task is Task.DETECTION


def test_each_stain_is_told_from_the_other_and_from_glass() -> None:
    patches = np.stack(
        [
            stained(np.zeros((32, 32)), (0.65, 0.70, 0.29)),
            stained(np.full((32, 32), 0.9), (0.65, 0.70, 0.29)),
            stained(np.full((32, 32), 0.5), (0.07, 0.99, 0.11)),
        ]
    )
    best = run("demo-stains", patches)[:, :, 8:24, 8:24].argmax(axis=1)
    for want, found in enumerate(best):
        assert (found == want).all()


def test_dark_blobs_of_a_nucleus_size_are_found_where_they_are() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:256, :256] + 0.5
    centres = [
        (24 + 40 * i + rng.uniform(-6, 6), 24 + 40 * j + rng.uniform(-6, 6))
        for i in range(6)
        for j in range(6)
    ]
    density = 0.1 + sum(0.9 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 32) for a, b in centres)
    rows = run("demo-nuclei", stained(density, (0.65, 0.70, 0.29))[None])[0]
    found = rows[rows[:, 2] >= 0.5, :2]
    assert len(found) == len(centres)
    away = np.hypot(*(found[:, None] - np.array(centres)[None]).transpose(2, 0, 1))
    assert away.min(axis=0).max() < 1.0
