"""One's own model in two commands; a card without its texts is good for looking, and no more."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from typer.testing import CliRunner, Result

from tests.conftest import ROOT
from wsi_ai.app import run_slides
from wsi_ai.cli import app
from wsi_ai.core.cards import CARD_INCOMPLETE
from wsi_ai.errors import ModelError
from wsi_ai.models.manifest import load_card

SIDE = 224


def candidate(path: Path) -> None:
    """Two logits of a float32 tile, as an exporter leaves them: no class names, no softmax."""
    initial = [
        numpy_helper.from_array(np.array([2, 3]), "sides"),
        numpy_helper.from_array(np.array([0]), "start"),
        numpy_helper.from_array(np.array([2]), "end"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["tiles", "sides"], ["means"], keepdims=0),
        helper.make_node("Slice", ["means", "start", "end", "axis"], ["logits"]),
    ]
    tiles = helper.make_tensor_value_info("tiles", T.FLOAT, ["n", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", T.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "candidate", [tiles], [logits], initial)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )


def commands(*headings: str) -> Iterator[str]:
    """Of docs/models.md, below these headings."""
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    for heading in headings:
        section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        for block in re.findall(r"^```bash\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            yield from block.splitlines()


def run(command: str) -> Result:
    program, *words = shlex.split(command)
    assert program == "wsi-ai"
    return CliRunner().invoke(app, words)


@pytest.fixture
def place(tmp_path: Path, cmu: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WSI_AI_MODELS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    candidate(tmp_path / "candidate.onnx")
    (tmp_path / "slide.svs").symlink_to(cmu)
    return tmp_path


def test_the_example_of_the_page_runs_as_it_is_written(place: Path) -> None:
    printed = ""
    for command in commands("A first look: two commands", "The whole card"):
        done = run(command)
        assert done.exit_code == 0, (command, done.output)
        printed += done.stdout
    assert "candidate@1.0.0 is in the store" in printed
    assert printed.count(CARD_INCOMPLETE) == 2  # init's and the first run's; none of the whole card
    assert not load_card(place / "candidate").incomplete


def test_every_result_of_an_incomplete_card_says_so_and_no_flag_of_it_is_sent(place: Path) -> None:
    first, second = commands("A first look: two commands")
    assert run(first).exit_code == 0
    refused = run(f"{second} --send http://127.0.0.1:9/flags")
    assert refused.exit_code == 2
    assert CARD_INCOMPLETE in refused.stderr or "WSI_AI_WEBHOOK_KEY" in refused.stderr
    done = run(second)
    assert done.exit_code == 0, done.output
    (flag_json,) = place.glob("results/*/*/flag.json")
    flag = json.loads(flag_json.read_text("utf-8"))
    assert flag["extensions"]["card_incomplete"] == CARD_INCOMPLETE
    assert CARD_INCOMPLETE in flag["result"]["explanation"]
    assert flag["regulatory"]["intended_use"] == CARD_INCOMPLETE
    for name in ("findings.geojson", "run.json"):
        assert CARD_INCOMPLETE in (flag_json.parent / name).read_text("utf-8")
    for name in ("summary.csv", "summary.md"):
        assert CARD_INCOMPLETE in (place / "results" / name).read_text("utf-8-sig")


class AnyPost:
    def put(self, flag: object) -> dict[str, object]:
        raise AssertionError("a flag was put")

    put_early = put

    def standing(self, flag_id: str) -> None:
        return None


def test_no_door_sends_a_flag_of_an_incomplete_card(place: Path) -> None:
    assert run(next(commands("A first look: two commands"))).exit_code == 0
    slides = [place / "slide.svs"]
    with pytest.raises(ModelError, match=CARD_INCOMPLETE):
        list(run_slides(slides, place / "candidate", place / "out", post=AnyPost()))
    assert not (place / "out").exists()


@pytest.mark.parametrize("words", ["add candidate", "sign candidate --key x.pem"])
def test_an_incomplete_card_is_not_approved(place: Path, words: str) -> None:
    assert run(next(commands("A first look: two commands"))).exit_code == 0
    done = run(f"wsi-ai models {words}")
    assert done.exit_code == 2
    assert CARD_INCOMPLETE in done.stderr


def test_a_draft_that_lacks_more_than_texts_names_what_it_lacks_and_asks(place: Path) -> None:
    done = run("wsi-ai models init candidate.onnx --trial --mpp 0.5")
    assert done.exit_code == 0
    assert "  output.classes: their names, in the order of the output, with commas" in done.stdout
    assert "card.licence" not in done.stdout
    card = (place / "candidate" / "model.toml").read_text("utf-8")
    assert "TODO" in card
    assert "licence" not in card
