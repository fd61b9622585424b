"""A reference says of each case one thing, and of no patient who it is."""

from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.trial.data_for_tests import LAW
from tests.trial.protocols import document
from wsi_ai.cli import app
from wsi_ai.errors import TrialError
from wsi_ai.trial.reference import Truth, is_nhs_number, parse_reference

HEADER = "trust,accession,patient,result,certainty,saw_ai,received_at,reported_at"
TARGET = document()["target"]


def table(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows]).encode()


def truths(*rows: str, **target: object) -> list[Truth]:
    return [case.truth for case in parse_reference(table(*rows), {**TARGET, **target}).cases]


def test_a_case_has_the_condition_by_the_protocol_s_codes_and_no_other() -> None:
    rows = ("RXX,1,a,CANCER,definite,,,", "RXX,2,b,BENIGN,definite,,,", "RXX,3,c,,,,,")
    assert truths(*rows) == [Truth.CONDITION, Truth.NONE, Truth.MISSING]
    assert truths(*rows, positive=["BENIGN"])[:2] == [Truth.NONE, Truth.CONDITION]


@pytest.mark.parametrize(
    ("rule", "truth"),
    [
        ("exclude", Truth.INDETERMINATE),
        ("positive", Truth.CONDITION),
        ("negative", Truth.NONE),
    ],
)
def test_what_is_indeterminate_counts_as_the_protocol_says(rule: str, truth: Truth) -> None:
    assert truths("RXX,1,a,CANCER,indeterminate,,,", indeterminate=rule) == [truth]


def test_rows_that_agree_are_one_case_and_rows_that_do_not_are_none() -> None:
    found = parse_reference(
        table(
            "RXX,1,a,CANCER,definite,no,,",
            "RXX,1,a,CANCER,definite,yes,,",
            "RXX,2,b,CANCER,definite,,,",
            "RXX,2,b,BENIGN,definite,,,",
            "RYY,2,b,BENIGN,definite,,,",  # another trust's
        ),
        TARGET,
    )
    assert found.twice == 2
    assert found.contradictions == ((4, 5),)
    assert [(c.identity.trust, c.identity.accession) for c in found.cases] == [
        ("RXX", "1"), ("RYY", "2"),
    ]  # fmt: skip
    assert found.cases[0].saw_ai


def test_a_reader_who_may_have_seen_the_flag_counts_as_one_who_did() -> None:
    rows = [f"RXX,{k},a,CANCER,definite,{saw},," for k, saw in enumerate(("no", "", "unknown"))]
    assert [c.saw_ai for c in parse_reference(table(*rows), TARGET).cases] == [False, False, True]


def test_a_report_before_the_specimen_came_is_a_wrong_clock() -> None:
    rows = [
        "RXX,1,a,CANCER,definite,,2027-01-05T09:00:00Z,2027-01-05T09:30:00+01:00",
        "RXX,2,b,CANCER,definite,,2027-01-05T09:00:00Z,2027-01-05T09:30:00Z",
    ]
    found = parse_reference(table(*rows), TARGET).cases
    assert [case.times_in_order for case in found] == [False, True]


SECRET = "Mrs Jane Patient"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table("RXX,1,943 476 5919,CANCER,definite,,,"), "line 2.*patient.*NHS number"),
        (table("RXX,,a,CANCER,definite,,,"), "line 2.*accession: is empty"),
        (table("RXX,1,a,CANCER,maybe,,,"), "certainty"),
        (table("RXX,1,a,CANCER,,,,"), "certainty"),
        (table(f"RXX,1,a,{SECRET},definite,,,"), "result: is not a code"),
        (table("RXX,1,a,CANCER,definite,perhaps,,"), "saw_ai"),
        (table("RXX,1,a,CANCER,definite,,yesterday,"), "received_at"),
        (table("RXX,1,a,CANCER,definite,,2027-01-05T09:00:00,"), "received_at"),
        (table("RXX,1,a,CANCER,definite,,,,more"), "more cells"),
        (table("RXX,1\u202e,a,CANCER,definite,,,"), "accession: has a character"),
        (table("x", header="trust,accession,patient,result"), "no column 'certainty'"),
        (table("x", header=HEADER + ",name"), "column that there is not: 'name'"),
        (table("x", header=HEADER + ",trust"), "twice"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "no column"),
    ],
)
def test_a_row_that_is_not_as_it_should_be_is_named_by_line_and_column_alone(
    content: bytes, message: str
) -> None:
    with pytest.raises(TrialError, match=message) as caught:
        parse_reference(content, TARGET)
    assert SECRET not in str(caught.value)


@LAW
@given(st.integers(0, 999_999_999))
def test_of_ten_last_digits_one_makes_an_nhs_number_or_none(first: int) -> None:
    """None where the weighted sum leaves 1, for 10 is no digit."""
    made = [digit for digit in range(10) if is_nhs_number(f"{first:09d}{digit}")]
    weighted = sum((10 - k) * int(digit) for k, digit in enumerate(f"{first:09d}"))
    assert len(made) == (weighted % 11 != 1)
    assert is_nhs_number("943-476-5919")
    assert is_nhs_number("0100000010")
    assert not is_nhs_number("943 476 5918")
    assert not is_nhs_number("P0001")


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "trial.toml"
    path.write_text(tomlkit.dumps(document()))
    return path


@pytest.mark.parametrize(
    ("rows", "status", "message"),
    [
        (["RXX,1,a,CANCER,definite,,,"], 0, "1 cases: 1 with a reference, 0 without"),
        (
            ["RXX,1,a,CANCER,definite,,,", "RXX,1,a,BENIGN,definite,,,"],
            1,
            "contradiction: lines 2, 3",
        ),
        (["RXX,1,a,CANCER,definite,,,", "RXX,2,a,,,,,"], 1, "more references are missing"),
        (["RXX,1,a,CANCER,definite,yes,,"], 0, "1 by readers who saw the flag"),
        (["RXX,1,a,CANCER,perhaps,,,"], 2, "line 2"),
    ],
)
def test_the_command_says_whether_it_can_be_locked(
    protocol: Path, tmp_path: Path, rows: list[str], status: int, message: str
) -> None:
    (tmp_path / "reference.csv").write_bytes(table(*rows))
    words = ["trial", "reference", "check", str(tmp_path / "reference.csv")]
    done = CliRunner().invoke(app, [*words, "--protocol", str(protocol)])
    assert done.exit_code == status, done.output
    assert message in done.output
