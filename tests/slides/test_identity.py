"""Whose slide is it?  All that is known must agree."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import CARD, example_flag
from tests.models_for_tests import red_network, write_model
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.core.cards import Scope
from wsi_ai.core.flags import Identity, Level
from wsi_ai.errors import IdentityInDoubt, PolicyError
from wsi_ai.slides.identity import Cases, agreed, dicom_claim, load_cases
from wsi_ai.slides.readers.dicom.case_header import case_header
from wsi_ai.triage.gates import scope_complaint
from wsi_ai.triage.judge import identified

FULL = {"trust": "RXX", "accession": "S26-1", "slide_id": "S26-1-A1-1"}
CSV = "file,trust,accession,slide_id,block,stain\none.svs,RXX,S26-1,S26-1-A1-1,A1,H&E\n"
TOML = """
table = "cases.csv"
file_name = '(?P<slide_id>(?P<accession>S\\d\\d-\\d+)-(?P<block>\\w+)-\\d+)'
[every_slide]
trust = "RXX"
network = "net-2"
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@given(st.dictionaries(st.sampled_from([*FULL, "stain"]), st.sampled_from(["a", "b"])),
       st.dictionaries(st.sampled_from([*FULL, "stain"]), st.sampled_from(["a", "b"])))  # fmt: skip
def test_an_identity_is_what_all_sources_say_or_none(
    one: dict[str, str], other: dict[str, str]
) -> None:
    differ = any(one[name] != other[name] for name in one.keys() & other.keys())
    together = one | other
    if differ:
        with pytest.raises(IdentityInDoubt):
            agreed([one, other])
    elif set(FULL) <= set(together):
        assert agreed([one, other]) == agreed([other, one]) == Identity(**together)
    else:
        assert agreed([one, other]) is None


def test_doubt_names_the_field_and_no_case() -> None:
    with pytest.raises(IdentityInDoubt) as caught:
        agreed([FULL, {"accession": "S26-2"}])
    assert str(caught.value) == "identity in doubt: the sources do not agree on accession"


@pytest.mark.parametrize("name", ["cases.csv", "cases.json"])
def test_a_table_tells_by_file_name(tmp_path: Path, name: str) -> None:
    rows = [{"file": "one.svs", **FULL, "block": "A1", "stain": "H&E"}]
    path = write(tmp_path, name, CSV if name.endswith("csv") else json.dumps(rows))
    cases = load_cases(path)
    assert cases.identity_of(Path("/in/one.svs")) == Identity(**FULL, block="A1", stain="H&E")
    assert cases.identity_of(Path("/in/two.svs")) is None


def test_a_pattern_over_file_names_must_agree_with_the_table(tmp_path: Path) -> None:
    row = "S26-1-A1-1.svs,RXX,S26-1,S26-1-A1-1,A1,\nS26-2-A1-1.svs,RXX,S26-1,S26-2-A1-1,A1,\n"
    write(tmp_path, "cases.csv", CSV.splitlines()[0] + "\n" + row)
    cases = load_cases(write(tmp_path, "cases.toml", TOML))
    right = cases.identity_of(Path("S26-1-A1-1.svs"))
    assert right == Identity(**FULL, block="A1", network="net-2")
    with pytest.raises(IdentityInDoubt, match="accession"):
        agreed(cases.claims(Path("S26-2-A1-1.svs")))
    with pytest.raises(IdentityInDoubt, match="pattern"):
        cases.claims(Path("scan0001.svs"))
    assert cases.identity_of(Path("scan0001.svs")) is None


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("cases.csv", "file,nhs_number\na.svs,1\n", "nhs_number"),
        ("cases.csv", "trust\nRXX\n", "file is missing"),
        ("cases.csv", "file,trust\na.svs,RXX\na.svs,RYY\n", "the same file again"),
        ("cases.json", "{}", "a list of objects"),
        ("cases.json", "[", "not valid JSON"),
        ("cases.toml", "file_name = '('", "not valid"),
        ("cases.toml", "file_name = '(?P<dob>x)'", "no such field: dob"),
        ("cases.toml", "[every_slide]\nname = 'x'", "name"),
        ("cases.txt", "", "a .csv, .json or .toml file"),
    ],
)
def test_cases_that_cannot_be_used_are_refused_with_the_reason(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    with pytest.raises(PolicyError, match=told):
        load_cases(write(tmp_path, name, text))


def test_a_dicom_slide_tells_its_accession_and_container(shared_data: Path) -> None:
    header = case_header(shared_data / "dicom" / "highdicom" / "sm_image.dcm")
    assert dicom_claim(header) == {"accession": "S19-1_A_1_1", "slide_id": "S19-1_A_1_1"}
    assert case_header(shared_data / "slides" / "cmu-1-small-region.svs") == {}
    assert case_header(shared_data / "nothing") == {}


def test_without_cases_no_slide_has_an_identity() -> None:
    assert load_cases(None) == Cases()
    assert Cases().identity_of(Path("S26-1-A1-1.svs")) is None


def test_a_flag_is_named_by_the_glass_not_by_the_scan() -> None:
    flag, whose = example_flag(), Identity(**FULL)
    named = identified(flag, whose)
    assert identified(flag, None) is flag
    assert named.flag_id != flag.flag_id
    assert identified(flag, Identity(**FULL, stain="H&E")).flag_id == named.flag_id
    other = Identity(trust="RX", accession="XS26-1", slide_id="S26-1-A1-1")
    assert identified(flag, other).flag_id != named.flag_id


@pytest.mark.parametrize(
    ("stain", "needs", "fits"),
    [("HE", "H&E", True), ("h and e", "H&E", True), ("PAS", "H&E", False), (None, "H&E", True),
     ("PAS", None, True)],
)  # fmt: skip
def test_a_model_judges_only_the_stain_that_it_was_made_for(
    *, stain: str | None, needs: str | None, fits: bool
) -> None:
    card = dataclasses.replace(CARD, scope=Scope(stains=(needs,) if needs else ()))
    assert (scope_complaint([FULL, {"stain": stain} if stain else {}], card) is None) == fits


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"organ": "Colon", "specimen": "biopsy"}, None),
        ({}, None),
        ({"organ": "skin"}, "not of an organ that the model is made for (colon, rectum)"),
        ({"organ": "rectum", "specimen": "resection"}, "not of a kind the model is made for (bio"),
    ],
)
def test_a_model_judges_only_organs_and_specimens_that_it_was_made_for(
    told: dict[str, str], complaint: str | None
) -> None:
    scope = Scope(organs=("colon", "rectum"), specimens=("biopsy",))
    found = scope_complaint([told], dataclasses.replace(CARD, scope=scope))
    assert (found is None) == (complaint is None)
    assert found is None or complaint in found
    assert "skin" not in (found or "")
    assert "resection" not in (found or "")


def test_a_slide_out_of_scope_is_not_assessed_though_nobody_says_whose_it_is(
    cmu: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "m", red_network())
    with (model / "model.toml").open("a") as card:
        card.write('[scope]\nstain = "H&E"\n')
    table = tmp_path / "cases.csv"
    table.write_text(f"file,stain\n{cmu.name},IHC\n")
    (outcome,) = run_slides([cmu], model, tmp_path / "out", RunOptions(cases=table))
    assert outcome.level is Level.NOT_ASSESSED
    assert outcome.reason == "the slide is not stained as the model needs it (H&E)"
    table.write_text(f"file,stain\n{cmu.name},h&e\n")
    (outcome,) = run_slides([cmu], model, tmp_path / "out", RunOptions(cases=table))
    assert outcome.level is not Level.NOT_ASSESSED


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "########", "1.23457E+11", "1,2E+05"])
def test_what_a_spreadsheet_made_of_a_cell_is_no_accession(tmp_path: Path, cell: str) -> None:
    """Two patients' cells would be the same."""
    table = tmp_path / "cases.csv"
    table.write_text(f"file;trust;accession;slide_id\na.svs;T;{cell};1\n")
    with pytest.raises(PolicyError, match=r"line 2: accession: the spreadsheet"):
        load_cases(table)


@pytest.mark.parametrize("cell", ["1E5", "S24-1E+05", "#7", "12E05"])
def test_an_accession_that_looks_odd_is_taken_as_it_is(tmp_path: Path, cell: str) -> None:
    table = tmp_path / "cases.csv"
    table.write_text(f"file,trust,accession,slide_id\na.svs,T,{cell},1\n")
    assert load_cases(table).rows[0].claim["accession"] == cell
