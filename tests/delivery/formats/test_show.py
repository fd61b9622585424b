"""``wsi-ai flags show --as``."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.delivery.conftest import new_id
from tests.delivery.formats.flags import DICOM
from wsi_ai.cli import app
from wsi_ai.delivery.formats.event import summary_of
from wsi_ai.delivery.formats.registry import FORMATS
from wsi_ai.delivery.posting import make_outbox
from wsi_ai.testing import example_body


def body(flag_id: str) -> dict[str, Any]:
    return example_body(flag_id) | {"extensions": {"dicom": DICOM}}


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, str]:
    """An outbox with one flag, and the flag's id."""
    database, flag_id = tmp_path / "outbox.db", new_id()
    with make_outbox(str(database)) as outbox:
        outbox.put(body(flag_id), ())
    return database, flag_id


def show(kept: tuple[Path, str], name: str) -> Result:
    database, flag_id = kept
    words = ["flags", "show", flag_id, "--outbox", str(database), "--as", name]
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize("name", FORMATS)
def test_any_flag_is_shown_in_any_format(kept: tuple[Path, str], name: str) -> None:
    done = show(kept, name)
    assert done.exit_code == 0
    assert FORMATS[name].parse(done.stdout_bytes) == summary_of(body(kept[1]))


def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(
    kept: tuple[Path, str],
) -> None:
    done = show(kept, "fax")
    assert done.exit_code == 2
    assert "cloudevent, fhir, hl7, sectra" in done.stderr


def test_a_flag_whose_slide_is_no_dicom_image_is_shown_in_no_dicom(tmp_path: Path) -> None:
    database, flag_id = tmp_path / "plain.db", new_id()
    with make_outbox(str(database)) as outbox:
        outbox.put(example_body(flag_id), ())
    done = show((database, flag_id), "sr")
    assert done.exit_code != 0
    assert "no DICOM image" in done.stderr
