"""Tables that people keep: nothing is cut, nothing stands for another, whatever wrote them."""

import csv
import io
import json
import pickle
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wsi_ai.errors import IdentityInDoubt, PolicyError
from wsi_ai.slides.identity import FIELDS, dicom_claim, load_cases
from wsi_ai.slides.inputs import find_slides
from wsi_ai.slides.spreadsheet import read_sheet, unfit

ENDS = ["\x00", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\u202e",
        "\u200b", "\ufeff", "\x7f", "\x1b", "\u2066"]  # fmt: skip
ACCESSION = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]) | st.sampled_from(ENDS),
    min_size=1,
    max_size=12,
)


def write(folder: Path, text: str, name: str = "cases.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    return path


def row_of(accession: str, suffix: str) -> str:
    row = {"file": "a.svs", "trust": "RXX", "accession": accession, "slide_id": "1"}
    if suffix == ".json":
        return json.dumps([row])
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(row))
    table.writeheader()
    table.writerow(row)
    return text.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(accession=ACCESSION, suffix=st.sampled_from([".csv", ".json"]))
@example(accession="S26-100\x1d17", suffix=".csv")
@example(accession="S26-100\n17", suffix=".csv")
@example(accession="S26-100\r17", suffix=".csv")
def test_an_accession_is_read_whole_or_its_row_is_refused(
    tmp_path: Path, accession: str, suffix: str
) -> None:
    path = write(tmp_path, row_of(accession, suffix), f"cases{suffix}")
    try:
        whose = load_cases(path).identity_of(Path("/in/a.svs"))
    except PolicyError as refused:
        assert "row 1: accession: has the control character U+" in str(refused)  # noqa: PT017
        assert unfit(accession)
    else:
        known = unicodedata.normalize("NFC", accession.strip())
        assert (whose.accession if whose else "") == known
        assert unfit(known) is None


@pytest.mark.parametrize("sign", ENDS)
@pytest.mark.parametrize("field", ["file", *FIELDS])
def test_a_control_character_is_refused_in_every_field_naming_row_and_field(
    tmp_path: Path, field: str, sign: str
) -> None:
    rows = [{"file": "a.svs"}, {"file": "b.svs", field: f"x{sign}y"}]
    path = write(tmp_path, json.dumps(rows), "cases.json")
    with pytest.raises(PolicyError, match=rf"row 2: {field}: has the control character U\+"):
        load_cases(path)


@pytest.mark.parametrize("sign", ["\x1d", "\u2028"])
def test_a_control_character_in_a_header_or_a_name_is_doubt_and_cuts_nothing(
    tmp_path: Path, sign: str
) -> None:
    with pytest.raises(IdentityInDoubt, match="accession in the file's header has the character"):
        dicom_claim({"AccessionNumber": f"S26-1{sign}7", "ContainerIdentifier": "1"})
    cases = load_cases(write(tmp_path, "file_name = '(?s:(?P<accession>.*))'", "cases.toml"))
    with pytest.raises(IdentityInDoubt, match="accession in the file's name has the character"):
        cases.claims(Path(f"S26-1{sign}7.svs"))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("c.csv", "file,trust,trust\na.svs,RXX,RYY\n", "has the column 'trust' twice"),
        ("c.csv", "file,trust, Trust\na.svs,RXX,RYY\n", "has the column 'trust' twice"),
        ("c.json", '[{"file": "a.svs", "trust": "RXX", "trust": "RYY"}]', "the key 'trust' twice"),
        ("c.toml", "[every_slide]\ntrust = 'RXX'\ntrust = 'RYY'\n", "is not valid TOML"),
        ("c.csv", "file,trust\na.svs,RXX\n./a.svs,RYY\n", "row 2: the same file again"),
        ("c.csv", "file,trust\né.svs,RXX\ne\u0301.svs,RYY\n", "row 2: the same file again"),
        ("c.csv", "file,trust\na.svs,RXX,RYY\n", "line 2: more cells than there are columns"),
        ("c.json", '[{"file": "a.svs", "accession": 17}]', "accession: a text in quotes"),
        ("c.json", "[" * 9999, "is nested more than 32 deep"),
    ],
)
def test_what_has_two_meanings_is_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        load_cases(write(tmp_path, text, name))


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs"]), min_size=1)


@settings(max_examples=80)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\r\n", "\n"]),
    announced=st.booleans(),
    empty=st.integers(0, 3),
)
def test_a_table_reads_the_same_however_a_spreadsheet_saves_it(
    *,
    rows: list[tuple[str, str]],
    separator: str,
    end: str,
    announced: bool,
    empty: int,
) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter=separator, lineterminator=end)
    table.writerow(["Slide", "Note", *[""] * empty])
    table.writerows([*row, *[""] * empty] for row in rows)
    table.writerows([[""] * (2 + empty)] * empty)
    whole = (f"sep={separator}{end}" if announced else "") + text.getvalue()
    read = read_sheet(whole)
    assert read.columns == ("slide", "note")
    assert [tuple(row.cells.values()) for row in read.rows] == rows
    assert not any(row.rest for row in read.rows)


def test_a_list_as_excel_saves_it_in_europe_is_read(tmp_path: Path) -> None:
    text = "\ufeffSlide;MPP;\r\n scans\\a.svs ;0,25;\r\nC:\\old\\b.svs;;\r\n;;\r\n;;\r\n"
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.svs").touch()
    found = find_slides([write(tmp_path, text, "l.csv")])
    assert [path.name for path in found.slides] == ["a.svs", "b.svs"]
    assert found.slides[0] == tmp_path / "scans" / "a.svs"
    assert found.mpp == {tmp_path / "scans" / "a.svs": 0.25}


def test_a_line_of_a_list_ends_where_an_editor_ends_it(tmp_path: Path) -> None:
    name = "a\x85b\u2028c.svs"
    found = find_slides([write(tmp_path, f"{name}\r\nd.svs\r\n", "l.txt")])
    assert [path.name for path in found.slides] == [name, "d.svs"]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
def test_a_name_is_the_same_however_its_accents_are_put_together(
    tmp_path: Path, on_disk: str, in_table: str
) -> None:
    slide = tmp_path / unicodedata.normalize(on_disk, "Pérez-é.svs")
    slide.touch()
    told = unicodedata.normalize(in_table, "Pérez-é.svs")
    listed = find_slides([write(tmp_path, f"slide\n{told}\n", "l.csv")])
    assert listed.slides == (slide,)
    cases = load_cases(write(tmp_path, f"file,trust,accession,slide_id\n{told},RXX,S1,é\n"))
    whose = cases.identity_of(slide)
    assert whose is not None
    assert whose.slide_id == "é"


def test_a_row_speaks_of_its_path_first_and_of_a_name_where_there_is_no_path(
    tmp_path: Path,
) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.svs").touch()
    text = "file,trust,accession,slide_id\na/1.svs,R,SA,1\nb\\1.svs,R,SB,1\nD:\\x\\2.svs,R,S2,1\n"
    cases = load_cases(write(tmp_path, text))

    def accession(path: Path) -> str | None:
        whose = cases.identity_of(path)
        return whose.accession if whose else None

    assert accession(tmp_path / "a" / "1.svs") == "SA"
    assert accession(tmp_path / "c" / ".." / "b" / "1.svs") == "SB"
    assert accession(tmp_path / "c" / "1.svs") is None
    assert accession(tmp_path / "c" / "2.svs") == "S2"


def test_two_rows_of_one_name_in_folders_that_are_not_here_are_doubt(tmp_path: Path) -> None:
    text = "file,trust,accession,slide_id\nC:\\a\\1.svs,R,SA,1\nC:\\b\\1.svs,R,SB,1\n"
    cases = load_cases(write(tmp_path, text))
    with pytest.raises(IdentityInDoubt, match="several files of this name"):
        cases.claims(tmp_path / "1.svs")


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(?P<block>(a|aa)+)!", r"(.*a){25}x", r"(a|a)*b"])
def test_a_pattern_that_would_take_years_takes_a_second(tmp_path: Path, pattern: str) -> None:
    cases = load_cases(write(tmp_path, f"file_name = '{pattern}'", "cases.toml"))
    start = time.process_time()
    with pytest.raises(IdentityInDoubt, match=r"the site's pattern takes too long|does not follow"):
        cases.claims(Path("a" * 200 + "c.svs"))
    assert time.process_time() - start < 3


@pytest.mark.parametrize("pattern", ["(" * 5000, "(?P<block>", "a{99999999999}", "[", "(?<=a*)b("])
def test_a_pattern_that_is_none_is_refused_when_it_is_read(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(PolicyError, match="is not valid: file_name"):
        load_cases(write(tmp_path, f"file_name = '{pattern}'", "cases.toml"))


def test_cases_are_the_same_in_another_process(tmp_path: Path) -> None:
    write(tmp_path, "file,trust,accession,slide_id\nS1.svs,R,S1,S1\n", "c.csv")
    cases = load_cases(write(tmp_path, "table = 'c.csv'\nfile_name = '(?P<slide_id>.*)'", "c.toml"))
    there = pickle.loads(pickle.dumps(cases))
    whose = cases.identity_of(Path("/in/S1.svs"))
    assert whose is not None
    assert there.identity_of(Path("/in/S1.svs")) == whose
