"""Who patients are: codes of national standards, and nothing that names one."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW
from wsi_ai.errors import TrialError
from wsi_ai.trial.patients import level_of, load_patients

HEADER = "patient,sex,age,ethnic_category,imd_quintile,imd_edition\n"
ETHNICITY: dict[str, Any] = {
    "column": "ethnic_category",
    "levels": ["white", "mixed", "asian", "black", "other", "not_stated", "not_known"],
}
AGE: dict[str, Any] = {"column": "age", "levels": ["18-49", "50-69", "70-"]}


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "patients.csv"
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def test_a_table_as_it_should_be_is_read_and_ages_from_90_are_one(tmp_path: Path) -> None:
    found = load_patients(written(tmp_path, "p1,1,97,A,5,2025", "p2,X,,99,,"))
    assert found["p1"].columns["age"] == "90"
    assert found["p2"].columns["ethnic_category"] == "99"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("943 476 5919,1,50,A,1,2025", "line 3 .* patient: looks like an NHS number"),
        ("p1,1,50,A,1,2025", "line 3 .* patient: is there twice"),
        ("p2,male,50,A,1,2025", "line 3 .* sex: is not a code"),
        ("p2,1,fifty,A,1,2025", "line 3 .* age: is not a code"),
        ("p2,1,130,A,1,2025", "line 3 .* age: is not a code"),
        ("p2,1,50,White British,1,2025", "line 3 .* ethnic_category: is not a code"),
        ("p2,1,50,I,1,2025", "ethnic_category: is not a code"),
        ("p2,1,50,A,6,2025", "imd_quintile: is not a code"),
        ("p2,1,50,A,1,2019", "two editions"),
        (",1,50,A,1,2025", "patient: is empty"),
        ("p2,1,50,A,1,2025,more", "more cells"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column_and_never_shown(
    tmp_path: Path, row: str, words: str
) -> None:
    with pytest.raises(TrialError, match=words) as error:
        load_patients(written(tmp_path, "p1,1,50,A,1,2025", row))
    assert "White British" not in str(error.value)
    assert "943" not in str(error.value)


def test_a_column_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="'name'"):
        load_patients(written(tmp_path, "p1,Ann", header="patient,name\n"))
    with pytest.raises(TrialError, match="no column 'patient'"):
        load_patients(written(tmp_path, "1", header="sex\n"))
    with pytest.raises(TrialError, match="cannot be read"):
        load_patients(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("A", "white"), ("C", "white"), ("D", "mixed"), ("R", "other"), ("L", "asian"),
        ("P", "black"), ("Z", "not_stated"), ("99", "not_known"), ("", "not_stated"),
        ("white", "white"), ("T", "not_listed"),
    ],
)  # fmt: skip
def test_categories_are_grouped_as_in_the_census_of_2001(code: str, level: str) -> None:
    """Chinese (R) is "other" there; not stated and not known are levels of their own."""
    assert level_of(ETHNICITY, code) == level


@LAW
@given(st.integers(0, 129))
def test_every_age_is_in_its_band_or_in_none_and_never_left_out(age: int) -> None:
    wanted = "not_listed" if age < 18 else "18-49" if age < 50 else "50-69" if age < 70 else "70-"
    assert level_of(AGE, str(age)) == wanted
    assert level_of(AGE, "") == "not_stated"


def test_without_a_level_for_it_not_known_is_not_stated() -> None:
    assert (
        level_of({"column": "ethnic_category", "levels": ["white", "mixed"]}, "99") == "not_stated"
    )
    assert level_of({"column": "scanner", "levels": ["GT450", "S60"]}, "KF5") == "not_listed"
