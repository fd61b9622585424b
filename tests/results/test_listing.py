"""Where results lie, and which of them are read, is one matter for all that read them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.examples import PROVENANCE
from tests.results.reports import assessed, heatmap_of, painted, random_scores
from wsi_ai.errors import ResultError
from wsi_ai.results.listing import model_folders, result_folders, slide_folders, slide_stem
from wsi_ai.results.open_result import open_result
from wsi_ai.results.pages.entries import entries
from wsi_ai.results.slide import Pages, RunRecord, write_results
from wsi_ai.results.written import is_known
from wsi_ai.run.no_ops import NoPost
from wsi_ai.service.viewer.runs import open_results


def made(out: Path, *names: str) -> None:
    for name in names:
        (out / name).mkdir(parents=True)


def test_results_lie_in_a_folder_for_each_slide_and_model_and_nowhere_else(tmp_path: Path) -> None:
    made(tmp_path, "b-0123abcd/m-1", "a-0123abcd/n-1", "a-0123abcd/m-1", "a-0123abcd/.m-1.new")
    made(tmp_path, "runs/x", "qupath/a-0123abcd/m-1", "a-0123ABCD/m-1", "-0123abcd/m-1")
    (tmp_path / "c-0123abcd").write_text("a file")
    found = [str(folder.relative_to(tmp_path)) for folder in result_folders(tmp_path)]
    assert found == ["a-0123abcd/m-1", "a-0123abcd/n-1", "b-0123abcd/m-1"]


def test_a_folder_that_cannot_be_looked_into_is_an_error_or_has_no_results(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for look in (slide_folders, model_folders):
        with pytest.raises(OSError, match="nowhere"):
            look(nowhere)
    assert list(result_folders(nowhere)) == []


@pytest.mark.parametrize("stem", ["s", "a-0123abcd", "two\nlines", ".hidden"])
def test_a_slides_name_is_read_back_from_its_folder(tmp_path: Path, stem: str) -> None:
    made(tmp_path, f"{stem}-0123abcd")
    assert [slide_stem(folder) for folder in slide_folders(tmp_path)] == [stem]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "0.9", "2.0", "", 1.1, None, ["1.1"]])
def test_a_version_is_read_by_all_or_by_none(tmp_path: Path, version: Any) -> None:
    slide = painted()
    folder = tmp_path / f"s-{slide.info.fingerprint[:8]}" / "mean-1"
    run = RunRecord(PROVENANCE, "0" * 64, {}, None, failed=False, pages=Pages.NONE)
    write_results(folder, assessed(heatmap_of(random_scores(), slide.info)), run, NoPost(), slide)
    path = folder / "flag.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": version}))
    known = version in ("1.0", "1.1")
    (entry,) = entries(tmp_path)
    assert entry.broken is not known
    assert bool(open_results(folder, slide.info).refused) is not known
    if known:
        assert is_known(open_result(folder).flag)
    else:
        with pytest.raises(ResultError):
            open_result(folder)
