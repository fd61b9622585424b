from pathlib import Path

import pytest

from tests.conftest import ROOT
from wsi_ai.errors import PolicyError
from wsi_ai.triage.policy import Policy, load_policy
from wsi_ai.triage.rules import AllOf, AnyOf, Area, Tiles, TopMean


def test_the_example_policy_is_the_default_written_out() -> None:
    assert load_policy(ROOT / "configs" / "area.toml") == load_policy(None) == Policy()


def test_what_a_policy_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('name = "wide"\n[rule]\narea_mm2 = 2\n[quality]\npen_max = 0.5\n')
    policy = load_policy(file)
    assert (policy.triage.name, policy.triage.rule) == ("wide", Area(2))
    assert policy.quality.pen_max == 0.5
    assert policy.triage.min_coverage == Policy().triage.min_coverage


def test_rules_combine(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        'name = "x"\n[rule]\nthreshold = 0.7\nany = [{ area_mm2 = 1 },'
        " { all = [{ tiles = 9 }, { top_tiles = 3 }] }]\n"
    )
    policy = load_policy(file)
    assert policy.triage.threshold == 0.7
    assert policy.triage.rule == AnyOf((Area(1), AllOf((Tiles(9), TopMean(3)))))


CONFIGS = (ROOT / "configs").glob("*.toml")
POLICIES = sorted(path for path in CONFIGS if "\n[rule]" in path.read_text("utf-8"))


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: p.name)
def test_every_example_policy_loads(path: Path) -> None:
    assert load_policy(path).triage.name == path.stem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'name' is a required property"),
        ('name = "x"\n[rule]\narea_mm2 = 0', "rule.area_mm2: 0 is less than or equal"),
        ('name = "x"\n[rule]\narea = 1', "rule.area: there is no such field"),
        ('name = "x"\n[coverage]\nmin = 90', "coverage.min: 90 is greater than the maximum"),
        ("name = ", "is not valid TOML"),
        ('name = "x"\n[rule]\ntiles = 3\narea_mm2 = 1', "rule: area_mm2, tiles exclude each other"),
        ('name = "x"\n[rule]\nany = [{ threshold = 0.5 }]', "rule.any.0.threshold: one threshold"),
    ],
)
def test_a_wrong_policy_is_refused_naming_file_and_field(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(PolicyError) as refused:
        load_policy(file)
    assert str(file) in str(refused.value)
    assert told in str(refused.value)
