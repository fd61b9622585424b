"""Each file in configs/ is one that the program takes as it is, and says what its page promises."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.slides.identity import load_cases, merged
from wsi_ai.triage.policy import load_policy

CONFIGS = ROOT / "configs"
POLICIES = {"area.toml", "hot-spot.toml", "objects.toml", "tiles-or-area.toml"}
OTHERS = {
    "access.toml", "cases.csv", "file-names.toml", "one-file-one-case.toml", "routing.toml",
    "sinks.toml", "site.toml",
}  # fmt: skip
ELSEWHERE = {"trial-list.toml"}
"""Loaded by tests/trial/test_lists.py."""


def test_there_is_no_example_that_nothing_loads() -> None:
    assert {path.name for path in CONFIGS.iterdir()} == POLICIES | OTHERS | ELSEWHERE


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_policy_is_one(name: str) -> None:
    assert load_policy(CONFIGS / name).triage.name == name.removesuffix(".toml")


def test_the_table_says_whose_the_sample_slide_is() -> None:
    identity = load_cases(CONFIGS / "cases.csv").identity_of(Path("elsewhere/slide.svs"))
    assert identity is not None
    assert (identity.trust, identity.accession, identity.stain) == ("RXX", "S26-0001", "H&E")


def test_the_pattern_reads_the_names_that_it_says() -> None:
    identity = load_cases(CONFIGS / "file-names.toml").identity_of(Path("S26-0001-A1-1.svs"))
    assert identity is not None
    assert (identity.slide_id, identity.accession, identity.block) == (
        "S26-0001-A1-1", "S26-0001", "A1",
    )  # fmt: skip


def test_for_a_try_each_file_is_a_case() -> None:
    found = load_cases(CONFIGS / "one-file-one-case.toml").claims(Path("Case 7 (HE).svs"))
    assert merged(found) == {"slide_id": "Case 7 (HE)", "accession": "Case 7 (HE)"}


def test_the_sinks_are_taken_and_hold_no_secret() -> None:
    (sink,) = load_endpoints([str(CONFIGS / "sinks.toml")])
    assert (sink.name, sink.trusts, sink.heartbeat_s) == ("region", frozenset({"RXX", "RYY"}), 300)
    text = (CONFIGS / "sinks.toml").read_text("utf-8")
    assert "whsec_" not in text


def test_the_site_s_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from wsi_ai.models.site import load_site

    monkeypatch.setenv("WSI_AI_SITE", str(CONFIGS / "site.toml"))
    assert load_site().store == CONFIGS / "models"


def test_the_routing_names_models_that_are_here() -> None:
    from wsi_ai.service.routing.loading import load_routing

    assert [rule.silent for rule in load_routing(CONFIGS / "routing.toml").rules] == [False, True]


def test_the_access_settings_are_those_of_the_page() -> None:
    from wsi_ai.service.access.settings import load_access

    access = load_access(CONFIGS / "access.toml")
    assert access.login is not None
    assert access.login.rights_claims == ("groups",)
    assert access.trusts["RXX"].network == "N1"
    rows = [line.strip() for line in (CONFIGS / "access.toml").read_text("utf-8").splitlines()]
    page = (ROOT / "docs" / "access.md").read_text("utf-8")
    for row in filter(None, (line.partition("#")[0].strip() for line in rows)):
        assert row in page
