"""A run in one table: whole, safe to open in a spreadsheet, and saying no more than is known."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import example_flag, example_heatmap
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.printable import printable
from wsi_ai.results.summary import COLUMNS, NOT_JUDGED, SummaryLine, write_summary
from wsi_ai.triage.judge import evidence_of
from wsi_ai.triage.rules import Area


def line(slide: str = "a.svs", level: str = "standard", reason: str = "nothing") -> SummaryLine:
    return SummaryLine(slide, "m-1", level, reason, None, 1.5, done_before=False)


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "summary.csv").read_text("utf-8-sig"))))


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(names=st.lists(NAMES, min_size=1, max_size=4), formula=st.sampled_from(list("=+-@\t\r")))
def test_every_slide_has_its_row_and_no_cell_is_a_formula(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], formula: str
) -> None:
    out = tmp_path_factory.mktemp("out")
    slides = [*names, f"{formula}HYPERLINK(1)"]
    write_summary(out, [line(name, reason=f"{formula}{name}") for name in slides])
    found = rows(out)
    assert [row["slide"].removeprefix("'") for row in found] == [
        printable(name).removeprefix("'") for name in slides
    ]
    assert not [cell for row in found for cell in row.values() if cell[:1] in set("=+-@\t\r")]
    assert not list(out.glob(".*"))


def test_what_is_not_known_is_empty_and_never_a_nought(tmp_path: Path) -> None:
    write_summary(tmp_path, [line(level=NOT_JUDGED)])
    (row,) = rows(tmp_path)
    assert tuple(row) == COLUMNS
    assert (row["score"], row["coverage"], row["folder"]) == ("", "", "")


def test_the_page_has_the_statement_and_each_failure_with_its_reason(tmp_path: Path) -> None:
    lines = [line("a|<b>.svs", Level.NOT_ASSESSED, "no tissue"), line("c.svs")]
    write_summary(tmp_path, lines)
    page = (tmp_path / "summary.md").read_text("utf-8")
    assert f"> {STATEMENT}" in page
    assert "2 rows: 0 expedite, 1 standard, 1 not assessed." in page
    failures = page.partition("## Not assessed, and why")[2]
    assert r"| a\|\<b\>.svs | m-1 | no tissue |" in failures
    assert "c.svs" not in failures


def test_a_share_is_named_where_a_small_specimen_is_held_to_it() -> None:
    heatmap = example_heatmap()
    evidence = evidence_of(heatmap)
    tissue = heatmap.planned.sum() * heatmap.cell_mm2
    small = Area(area_mm2=tissue * 10, tissue_share=0.25).explanation(evidence, 0.5, "tumour")
    large = Area(area_mm2=tissue / 10, tissue_share=0.25).explanation(evidence, 0.5, "tumour")
    assert re.search(r"asks for \d+\.\d\d mm² \(25 % of its tissue\)$", small)
    assert large.endswith("mm²")
    assert example_flag(heatmap).reason
