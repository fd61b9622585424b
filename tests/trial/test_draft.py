"""A draft of a protocol is one that the check takes, whatever was asked or answered."""

from pathlib import Path

import pytest
import tomlkit
from typer.testing import CliRunner

from tests.models_for_tests import red_network, write_model
from tests.trial.protocols import key_pair
from wsi_ai.cli import app
from wsi_ai.trial.draft import QUESTIONS
from wsi_ai.trial.locking import make_unseal_key
from wsi_ai.trial.protocol import load_protocol


def new(*words: object, typed: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["trial", "protocol", "new", *map(str, words)], input=typed)
    return done.exit_code, done.output


def check(path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["trial", "protocol", "check", str(path)])
    return done.exit_code, done.output


def test_the_example_is_taken_and_says_that_it_names_no_model(tmp_path: Path) -> None:
    out = tmp_path / "p.toml"
    assert new(out, "--example")[0] == 0
    status, output = check(out)
    assert status == 0
    assert "placeholder: index_test names no model" in output
    assert "needed: 255 cases with condition" in output


def test_fourteen_questions_are_asked_and_their_answers_are_written(tmp_path: Path) -> None:
    out = tmp_path / "p.toml"
    typed = "skin-2028\n" + "\n" * (len(QUESTIONS) - 1)
    status, output = new(out, typed=typed)
    assert status == 0, output
    assert len(QUESTIONS) == 14
    assert load_protocol(out).document["trial_id"] == "skin-2028"


def test_answers_may_be_options_and_model_and_keys_speak_for_themselves(tmp_path: Path) -> None:
    model = write_model(tmp_path / "red", red_network(side=64), side=64, mpp=0.5)
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "RXX.pub").write_bytes(key_pair()[1])
    public = make_unseal_key(keys / "RXX.key")
    out = tmp_path / "p.toml"
    words = ("--model", model, "--keys", keys, "--answer", "primary.measure=specificity")
    assert new(out, "--example", *words)[0] == 0
    made = load_protocol(out).document
    assert made["site"][0]["unseal_public"] == public
    assert made["index_test"]["model"] == "red"
    assert made["size"]["without"] == 255
    assert "placeholder" not in check(out)[1]


def test_an_area_is_planned_by_its_standard_error(tmp_path: Path) -> None:
    out = tmp_path / "p.toml"
    assert new(out, "--example", "--answer", "primary.measure=auroc")[0] == 0
    size = load_protocol(out).document["size"]
    assert size["without"] == 4 * size["with_condition"]
    assert size["with_condition"] < 255


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("primary.goal=high", "primary.goal: is not a number"),
        ("primary.goal=0.99", "primary.expected: is not above the goal"),
        ("primary.expected=0.9001", "too close"),
        ("prevalence=0", "prevalence: is a share"),
        ("opens=tomorrow", "protocol: opens"),
        ("closes=2020-01-01", "it ends before it begins"),
        ("target.positive=,", "target.positive"),
        ("primary.measure=luck", "primary.measure"),
        ("primary.goal=nan", "primary.expected: is not above the goal"),
        ("colour=red", "there is no such question"),
    ],
)
def test_an_answer_that_does_not_do_names_its_field_and_writes_nothing(
    tmp_path: Path, answer: str, words: str
) -> None:
    status, output = new(tmp_path / "p.toml", "--example", "--answer", answer)
    assert (status, words in output) == (2, True), output
    assert not (tmp_path / "p.toml").exists()


def test_a_draft_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "p.toml"
    out.write_text("mine")
    status, output = new(out, "--example")
    assert status == 2
    assert "is there already" in output
    assert out.read_text() == "mine"


def test_a_draft_has_a_comment_on_every_part(tmp_path: Path) -> None:
    out = tmp_path / "p.toml"
    new(out, "--example")
    text = out.read_text()
    for name in tomlkit.parse(text).unwrap():
        if f"[{name}]" in text:
            before = text[: text.index(f"[{name}]")].rstrip("[\n").splitlines()
            assert before[-1].startswith("#"), name
