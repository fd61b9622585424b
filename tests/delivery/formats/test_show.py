"""``wsi-ai flags show --as``."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.delivery.conftest import new_id
from wsi_ai.cli import app
from wsi_ai.delivery.formats.event import summary_of
from wsi_ai.delivery.formats.registry import FORMATS
from wsi_ai.delivery.posting import make_outbox
from wsi_ai.testing import example_body


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, str]:
    """An outbox with one flag, and the flag's id."""
    database, flag_id = tmp_path / "outbox.db", new_id()
    with make_outbox(str(database)) as outbox:
        outbox.put(example_body(flag_id), ())
    return database, flag_id


def show(kept: tuple[Path, str], name: str) -> Result:
    database, flag_id = kept
    words = ["flags", "show", flag_id, "--outbox", str(database), "--as", name]
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize("name", FORMATS)
def test_any_flag_is_shown_in_any_format(kept: tuple[Path, str], name: str) -> None:
    done = show(kept, name)
    assert done.exit_code == 0
    assert FORMATS[name].parse(done.stdout_bytes) == summary_of(example_body(kept[1]))


def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(
    kept: tuple[Path, str],
) -> None:
    done = show(kept, "fax")
    assert done.exit_code == 2
    assert "cloudevent, fhir, hl7, sectra" in done.stderr
