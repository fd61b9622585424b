"""``wsi-ai routing check`` and the file of rules."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from typer.testing import CliRunner

from tests.conftest import ROOT
from wsi_ai.cli import app
from wsi_ai.errors import PolicyError
from wsi_ai.service.routing import facts
from wsi_ai.service.routing.loading import load_routing

EXAMPLE = ROOT / "configs" / "routing.toml"
MODEL = ROOT / "models" / "demo-tumour"


def checked(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["routing", "check", *words])
    return done.exit_code, done.output


def rules(folder: Path, text: str) -> Path:
    path = folder / "routing.toml"
    path.write_text(text.replace("MODEL", str(MODEL)))
    return path


def test_it_says_which_rule_takes_a_slide_and_why_not_the_others() -> None:
    code, said = checked(
        "--routing", str(EXAMPLE), "--fact", "organ=Colon", "--fact", "specimen=biopsy",
        "--fact", "stain=h&e", "--fact", "scanner=GT450",
    )  # fmt: skip
    assert code == 0
    assert "BY colon biopsies: organ is 'Colon'" in said
    assert "not by a model on trial (silent): trust is not known" in said


def test_a_slide_without_a_model_is_said_so_and_is_exit_status_1() -> None:
    code, said = checked("--routing", str(EXAMPLE), "--fact", "stain=PAS")
    assert code == 1
    assert "NO MODEL: no rule takes it; it is not run, and every receiver is told" in said
    assert "stain is 'PAS', and it asks for 'H&E'" in said


def test_what_the_cases_say_of_a_file_counts(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(b"no slide")
    cases = tmp_path / "cases.csv"
    cases.write_text("file,trust,accession,slide_id,stain\na.svs,RXX,S1,1,PAS\n")
    path = rules(tmp_path, '[[rule]]\nname="p"\nwhen={stain="pas",trust="rxx"}\nmodels=["MODEL"]\n')
    words = ("--routing", str(path), "--cases", str(cases), str(tmp_path / "a.svs"))
    code, said = checked(*words)
    assert code == 0
    assert "BY p" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[rule]]\nname="a"\nmodels=["MODEL"]\n[[rule]]\nname="a"\nmodels=["MODEL"]\n',
            "two rules",
        ),
        ('[[rule]]\nname="a"\nmodels=["MODEL"]\nsilent=true\n', "every rule is silent"),
        ('[[rule]]\nname="a"\nmodels=["MODEL"]\nwhen={tissue="x"}\n', "when.tissue"),
        ('[[rule]]\nname="a"\nmodels=[]\n', "models"),
        ("rule = []\n", "rule"),
    ],
)
def test_a_file_that_would_mislead_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        load_routing(rules(tmp_path, text))


def test_a_model_that_may_not_run_here_is_found_before_any_slide_waits(tmp_path: Path) -> None:
    path = rules(tmp_path, '[[rule]]\nname="a"\nmodels=["nowhere@1"]\n')
    code, said = checked("--routing", str(path))
    assert code == 2
    assert "nowhere" in said


def test_a_fact_that_there_is_none_of_is_a_mistake_of_the_command() -> None:
    code, said = checked("--routing", str(EXAMPLE), "--fact", "colour=red")
    assert code == 2
    assert "NAME=VALUE" in said


def substance(value: str, meaning: str) -> Dataset:
    item, name, code = Dataset(), Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator = "424361007", "SCT"
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    item.ConceptNameCodeSequence = Sequence([name])
    item.ConceptCodeSequence = Sequence([code])
    return item


@pytest.mark.parametrize(
    ("codes", "stain"),
    [
        ([("12710003", "hematoxylin stain"), ("36879007", "water soluble eosin stain")], "h&e"),
        ([("12710003", "hematoxylin stain")], "hematoxylin stain"),
        ([("104210008", "PAS"), ("12710003", "hematoxylin stain")], "pas"),
    ],
)
def test_the_header_of_a_dicom_slide_says_its_stain(
    codes: list[tuple[str, str]], stain: str
) -> None:
    step, specimen = Dataset(), Dataset()
    step.SpecimenPreparationStepContentItemSequence = Sequence([substance(*one) for one in codes])
    specimen.SpecimenPreparationSequence = Sequence([step])
    assert stain in {word.casefold() for word in facts._stains([specimen])}
