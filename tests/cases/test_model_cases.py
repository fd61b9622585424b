"""Models that made other programs fail, by public reports: what the product says now.

``python -m tests.cases.test_model_cases`` prints the table.  The cases lie beside the checkout, in
../shared/cases (or where WSI_AI_SHARED says), and are skipped where they are not.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

SHARED = Path(os.environ.get("WSI_AI_SHARED", Path(__file__).parents[3] / "shared"))
CASES = SHARED / "cases" / "models"
SLIDE = SHARED / "data" / "slides" / "cmu-1-small-region.svs"
MISSING = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases/models is not there"),
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed"),
]
SAID = ["--mpp", "0.5", "--positive", "b", "--threshold", "0.5", "--set", "input.mean=0,0,0"]
SAID += ["--set", "input.std=1,1,1"]
TEXTS = """
    operating_point.chosen_for operating_point.calibrated_on scope.stain scope.organ
    card.intended_use card.licence card.training_data card.evidence card.limitations
"""
SAID += [word for field in TEXTS.split() for word in ("--set", f"{field}=tests")]
BOTH, ONE = ["--classes", "a,b"], ["--classes", "b"]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    case: str
    said: str
    right: str
    holds: bool


@dataclass(frozen=True)
class Drafted:
    """What ``models init`` made of a file."""

    status: int
    text: str
    folder: Path

    @property
    def activation(self) -> str:
        card = self.folder / "model.toml"
        return str(tomllib.loads(card.read_text())["output"]["activation"]) if self.made else ""

    @property
    def made(self) -> bool:
        return (self.folder / "model.toml").is_file()


def made(case: str, folder: Path, *words: str) -> Path:
    place = folder / case
    place.mkdir(parents=True, exist_ok=True)
    maker = [sys.executable, str(CASES / case / "make.py"), *words]
    subprocess.run(maker, cwd=place, check=True, capture_output=True)
    return place


def init(weights: Path, *words: str) -> Drafted:
    from wsi_ai.cli import app

    folder = weights.parent / f"{weights.stem}-model-{len(words)}"
    command = ["models", "init", str(weights), "--out", str(folder), *SAID, *words]
    done = CliRunner().invoke(app, command)
    return Drafted(done.exit_code, " ".join((done.stdout + done.stderr).split()), folder)


def scores(folder: Path, tiles: np.ndarray) -> np.ndarray:
    from wsi_ai.core.cards import RuntimeRequest
    from wsi_ai.core.values import TileBatch
    from wsi_ai.inference.registry import open_runtime
    from wsi_ai.models.manifest import load_card

    runtime = open_runtime(load_card(folder), RuntimeRequest("cpu"))
    batch = TileBatch("s", np.arange(len(tiles)), tiles)
    return np.concatenate([p.scores for p in runtime.predict([batch])])


TILES = np.random.default_rng(0).integers(0, 256, (12, 224, 224, 3), np.uint8)
TILES[:4] = 255
TILES[4:6] = (230, 20, 120)


def probability_slices(folder: Path) -> Iterator[Row]:
    place = made("prob-slice", folder)
    for name in ("slice", "gather", "one_minus", "qdq"):
        drafted = init(place / f"{name}.onnx", *ONE)
        said = f"output.activation = {drafted.activation[:24]!r}"
        right = drafted.activation == "none" or drafted.activation.startswith("TODO")
        yield Row(f"prob-slice/{name}", said, "none, or TODO; never a guess", right)
        again = init(place / f"{name}.onnx", *ONE, "--set", "output.activation=sigmoid")
        yield Row(f"prob-slice/{name}, sigmoid", again.text[:60], "refused", again.status == 2)


def softmax_twice(folder: Path) -> Iterator[Row]:
    place = made("double-softmax", folder)
    words = [*BOTH, "--set", "output.activation=softmax"]
    twice, once = init(place / "ends_in_softmax.onnx", *words), init(place / "logits.onnx", *words)
    yield Row("double-softmax", twice.text[:60], "refused or warned", twice.status == 2)
    ran = scores(once.folder, TILES)
    sums = bool(np.allclose(ran.sum(1), 1, atol=1e-5))
    yield Row("double-softmax/logits", "runs, scores sum to 1", "runs", sums)
    card = once.folder / "model.toml"
    whole = place / "by-hand"
    plain = init(place / "ends_in_softmax.onnx", *BOTH)
    plain.folder.rename(whole)
    text = (whole / "model.toml").read_text()
    (whole / "model.toml").write_text(text.replace('activation = "none"', 'activation = "softmax"'))
    yield Row(*refused("double-softmax, by hand", whole, "ends in a softmax"), card.is_file())


def refused(case: str, folder: Path, why: str) -> tuple[str, str, str]:
    from wsi_ai.errors import ModelError

    with pytest.raises(ModelError, match=why) as error:
        scores(folder, TILES)
    return case, str(error.value)[:60], "refused when it is opened"


def means_above_one(folder: Path) -> Iterator[Row]:
    drafted = init(made("above-one", folder) / "ensemble_of_ten.onnx", *BOTH)
    said = f"output.activation = {drafted.activation[:24]!r}"
    right = drafted.activation.startswith("TODO")
    yield Row("above-one, draft", said, "TODO: a weighted sum is not looked behind", right)
    place = folder / "above-one"
    again = init(place / "ensemble_of_ten.onnx", *BOTH, "--set", "output.activation=none")
    ran = scores(again.folder, TILES)
    whole = bool(ran.max() == 1.0 and ran.min() >= 0)
    yield Row("above-one", f"runs, largest score {ran.max():.9f}", "clipped within 1e-5", whole)


def fixed_batches(folder: Path) -> Iterator[Row]:
    place = made("fixed-batch", folder)
    ran = [scores(init(place / f"batch{n}.onnx", *BOTH).folder, TILES) for n in (1, 6)]
    same = bool(np.allclose(*ran, atol=1e-6))
    yield Row("fixed-batch", "both run and agree", "runs (sound, and to be kept so)", same)


def tensors_apart(folder: Path) -> Iterator[Row]:
    place = made("ext-data-in-constant", folder)
    apart = init(place / "attr" / "model.onnx", *BOTH)
    whole = init(place / "plain.onnx", *BOTH)
    same = apart.status == 0 and bool(
        np.allclose(scores(apart.folder, TILES), scores(whole.folder, TILES), atol=1e-6)
    )
    yield Row("ext-data-in-constant", "one file, the same scores", "runs as the plain one", same)


def no_numbers(folder: Path) -> Iterator[Row]:
    drafted = init(made("nan-output", folder, "0.85") / "nan_on_bright.onnx", *BOTH)
    again = init(
        folder / "nan-output" / "nan_on_bright.onnx", *BOTH, "--set", "output.activation=none"
    )
    yield Row(
        "nan-output, draft",
        f"output.activation = {drafted.activation[:24]!r}",
        "TODO",
        drafted.activation.startswith("TODO"),
    )
    ran = scores(again.folder, TILES)
    lost = bool(np.isnan(ran[:4]).all() and np.isfinite(ran[6:]).all())
    yield Row("nan-output", "bright tiles have no score", "no score, never standard", lost)


def other_weights(folder: Path) -> Iterator[Row]:
    from wsi_ai.errors import ModelError
    from wsi_ai.models.store import ModelStore

    place, store = made("re-used-results", folder), ModelStore(folder / "store")
    first, second = (init(place / n / "crc.onnx", *BOTH).folder for n in ("first", "second"))
    store.add(first)
    try:
        store.add(second)
        said, holds = "both are in the store", False
    except ModelError as error:
        said, holds = str(error)[:60], True
    yield Row("re-used-results, store", said, "refused, nothing touched", holds)


KINDS = (
    probability_slices, softmax_twice, means_above_one, fixed_batches, tensors_apart, no_numbers,
    other_weights,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_reported_model_is_taken_rightly_or_refused_in_words(
    kind: object, tmp_path: Path
) -> None:
    assert callable(kind)
    rows = list(kind(tmp_path))
    assert rows
    assert [row for row in rows if not row.holds] == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            for row in kind(Path(folder)):
                print(f"| {row.case} | {row.said} | {row.right} | {'ok' if row.holds else 'NO'} |")
