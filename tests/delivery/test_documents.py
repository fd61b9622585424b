"""What the documents of delivery say is so."""

import re
from pathlib import Path

import pytest

from benchmarks import flags as benchmark
from tests.conftest import ROOT
from wsi_ai import schemas
from wsi_ai.core.flags import STATEMENT
from wsi_ai.delivery.messages import SectraSettings, Shapes
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.results.flag_json import SCHEMA
from wsi_ai.slides.identity import load_cases


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def blocks(text: str) -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_every_field_of_a_flag_is_explained_to_its_receivers() -> None:
    told = page("receiving.md")
    fields = schemas.validator(SCHEMA).schema["properties"]
    assert not [name for name in fields if f"`{name}" not in told]
    parts = {n for part in ("slide", "result", "qc") for n in fields[part]["properties"]}
    assert not [name for name in parts if name not in told]


@pytest.mark.parametrize("name", ["receiving.md", "transcript.md"])
def test_the_statement_stands_on_what_people_read(name: str) -> None:
    assert STATEMENT in page(name).replace("\n> ", " ")


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    cases, sinks, *more = blocks(page("sending.md"))
    (tmp_path / "cases.toml").write_text(cases)
    (tmp_path / "cases.csv").write_text("file,trust\nS26-1-A1-1.svs,RXX\n")
    whose = load_cases(tmp_path / "cases.toml").identity_of(Path("S26-1-A1-1.svs"))
    assert whose is not None
    assert (whose.accession, whose.block) == ("S26-1", "A1")
    (tmp_path / "sinks.toml").write_text(sinks)
    (endpoint,) = load_endpoints([str(tmp_path / "sinks.toml")])
    assert endpoint.takes("RYY")
    (tmp_path / "more.toml").write_text("\n".join(more))
    fhir, hl7, archive, pacs = load_endpoints([str(tmp_path / "more.toml")])
    assert archive.dicom.objects == Path("/data/results")
    assert archive.credentials.basic is not None
    assert fhir.credentials.oauth is not None
    assert fhir.credentials.oauth.algorithm == "RS384"
    assert fhir.allowed_hosts >= {"fhir.example", "login.example"}
    assert fhir.fhir.slide_system == "https://lims.example/slide"
    assert hl7.hl7.application == "TRIAGE"
    assert pacs.credentials.oauth is not None
    assert pacs.sectra == SectraSettings("wsi-ai", Shapes.OUTLINES, "RXX-LIMS")


def test_every_test_that_the_hazard_log_names_exists() -> None:
    for name in re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", page("hazard-log.md")):
        assert (ROOT / name).is_file() or (ROOT / "tests" / "delivery" / name).is_file(), name


def test_with_a_third_of_all_requests_failing_and_relays_killed_nothing_is_lost(
    tmp_path: Path,
) -> None:
    """The benchmark's figure in little; benchmarks/flags.py measures 10,000 flags and 20 kills."""
    found = benchmark.faults(tmp_path, flags=60, kills=2)
    wrong = [f for f in found if f.target != "any" and f.value != f.target]
    assert wrong == []
