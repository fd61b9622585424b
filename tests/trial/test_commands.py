"""A protocol is checked, signed and held against what was signed, from the command line."""

from pathlib import Path

import pytest
import tomlkit
from typer.testing import CliRunner

from tests.trial.protocols import document, key_pair
from wsi_ai.cli import app


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    private, public = key_pair()
    (tmp_path / "region.pem").write_bytes(private)
    (tmp_path / "region.pub").write_bytes(public)
    (tmp_path / "trial.toml").write_text(tomlkit.dumps(document()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trial(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["trial", "protocol", *words])
    return done.exit_code, done.output


SIGN = ("sign", "trial.toml", "--key", "region.pem", "--out", "trial.dsse")
DIFF = ("diff", "trial.toml", "trial.dsse", "--trusted-keys", "region.pub")


@pytest.mark.usefixtures("folder")
def test_a_protocol_says_how_many_cases_it_needs() -> None:
    status, output = trial("check", "trial.toml")
    assert status == 0
    assert "needed: 255 cases with condition" in output


def test_a_protocol_edited_after_it_was_signed_is_found_and_the_field_is_named(
    folder: Path,
) -> None:
    assert trial(*SIGN)[0] == 0
    assert trial(*DIFF) == (0, "as it was signed\n")
    edited = document()
    edited["primary"]["goal"] = 0.85
    (folder / "trial.toml").write_text(tomlkit.dumps(edited))
    assert trial(*DIFF) == (1, "changed: primary.goal\n")


def test_a_signed_protocol_is_not_written_over(folder: Path) -> None:
    assert trial(*SIGN)[0] == 0
    before = (folder / "trial.dsse").read_bytes()
    status, output = trial(*SIGN)
    assert status == 2
    assert "another file" in output
    assert (folder / "trial.dsse").read_bytes() == before


def test_a_protocol_signed_by_a_stranger_is_refused(folder: Path) -> None:
    assert trial(*SIGN)[0] == 0
    (folder / "region.pub").write_bytes(key_pair()[1])
    status, output = trial(*DIFF)
    assert status == 2
    assert "no known key" in output


def test_a_protocol_that_is_too_small_can_be_signed_and_says_so(folder: Path) -> None:
    small = document()
    small["size"]["with_condition"] = 100
    (folder / "trial.toml").write_text(tomlkit.dumps(small))
    status, output = trial("check", "trial.toml")
    assert status == 1
    assert "too few" in output


def test_keys_and_protocols_that_are_not_there_are_one_line_and_status_2(folder: Path) -> None:
    (folder / "region.pem").unlink()
    status, output = trial(*SIGN)
    assert (status, len(output.splitlines())) == (2, 1)
    (folder / "trial.toml").unlink()
    status, output = trial("check", "trial.toml")
    assert (status, len(output.splitlines())) == (2, 1)
