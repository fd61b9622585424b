"""The pages of a folder of results show all that lies there, and all that should."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from tests.examples import PROVENANCE
from tests.results.reports import Skeleton, assessed, heatmap_of, painted, stopped
from tests.stand_in_runs import Failed, run_here, write_slide
from wsi_ai.core.files import in_turn
from wsi_ai.core.flags import STATEMENT
from wsi_ai.errors import HeldBack, OutputError, Unsent
from wsi_ai.results.flag_json import flag_json
from wsi_ai.results.pages.index import write_index
from wsi_ai.results.slide import Pages, RunRecord, write_results
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.run_slides import listed

Fill = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Writes one slide's folder."""

    def write(
        slide: str = "s",
        score: float | None = 0.9,
        model: str = "mean-1",
        pages: Pages = Pages.NONE,
    ) -> Path:
        folder = tmp_path / f"{slide}-f00df00d" / model
        if score is None:
            made = stopped("the file is damaged")
        else:
            made = assessed(heatmap_of(np.full((6, 9), score, np.float32), painted(6, 9).info))
        run = RunRecord(PROVENANCE, "0" * 64, {}, None, failed=False, pages=pages)
        write_results(folder, made, run, NoPost())
        return folder

    return write


def rows(out: Path) -> list[str]:
    """The text of each line of the index."""
    write_index(out)
    page = (out / "index.html").read_text("utf-8")
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    return [" ".join(Skeleton(row).text.split()) for row in body.split("<tr ")[1:]]


def test_the_index_begins_with_what_is_urgent_and_then_with_what_nobody_judged(
    tmp_path: Path, fill: Fill
) -> None:
    for slide, score in (("a", 0.1), ("b", None), ("c", 0.8), ("d", 0.95), ("e", 0.2)):
        fill(slide, score)
    shown = rows(tmp_path)
    assert [row.split()[0] for row in shown] == [
        "Expedite",
        "Expedite",
        "Not",
        "Standard",
        "Standard",
    ]
    assert [slide for row in shown for slide in "abcde" if f" {slide} " in row] == list("dcbea")
    assert "the file is damaged" in shown[2]


@pytest.mark.parametrize(
    "broken", ["", "{", "[]", '{"schema_version": "2.0"}', '{"schema_version": "1.1"}', None]
)
def test_a_flag_that_cannot_be_read_is_a_line_and_never_left_out(
    tmp_path: Path, fill: Fill, broken: str | None
) -> None:
    folder = fill("s")
    if broken is None:
        (folder / "flag.json").unlink()
    else:
        (folder / "flag.json").write_text(broken)
    (row,) = rows(tmp_path)
    assert row.startswith("Not assessed s the flag cannot be read")
    assert [entry.broken for entry in write_index(tmp_path)] == [True]


def test_a_flag_of_a_newer_version_is_not_believed(tmp_path: Path, fill: Fill) -> None:
    folder = fill("s")
    body = json.loads((folder / "flag.json").read_text())
    (folder / "flag.json").write_text(json.dumps({**body, "schema_version": "2.0"}))
    (row,) = rows(tmp_path)
    assert row.startswith("Not assessed")


def test_embeddings_and_other_folders_are_no_slides(tmp_path: Path, fill: Fill) -> None:
    fill("s")
    beside = tmp_path / "s-f00df00d" / "encoder-1"
    beside.mkdir()
    (beside / "run.json").write_text(json.dumps({"flag": "none: embeddings say nothing"}))
    (tmp_path / "notes" / "mine").mkdir(parents=True)
    (tmp_path / "s-f00df00d" / ".mean-1.new").mkdir()
    assert len(rows(tmp_path)) == 1


def a_run(out: Path, name: str, **slide: Any) -> None:
    (out / "runs").mkdir(exist_ok=True)
    found = {"slide": "x.svs", "model": "mean-1", "reason": "the disk was full", "folder": None}
    (out / "runs" / f"{name}.json").write_text(json.dumps({"slides": [{**found, **slide}]}))


def test_a_slide_of_the_last_runs_without_results_is_a_line(tmp_path: Path) -> None:
    a_run(tmp_path, "20260101T000000.000000Z")
    (row,) = rows(tmp_path)
    assert row.startswith("Not assessed x.svs nothing was written: the disk was full")
    a_run(tmp_path, "20260102T000000.000000Z", folder="x-f00df00d/mean-1")
    assert rows(tmp_path) == []


def test_a_run_that_did_not_begin_is_said_on_the_pages_until_one_does(tmp_path: Path) -> None:
    a_run(tmp_path, "20260101T000000.000000Z")
    stopped_run = tmp_path / "runs" / "not-started-20260102T000000.000000Z.json"
    stopped_run.write_text(json.dumps({"reason": "the model <b>is</b> not there"}))
    write_index(tmp_path)
    for name in ("index.html", "contact-sheet.html"):
        page = (tmp_path / name).read_text("utf-8")
        assert "The last run did not begin" in page
        assert "<b>is</b>" not in page
    a_run(tmp_path, "20260103T000000.000000Z")
    write_index(tmp_path)
    assert "did not begin" not in (tmp_path / "index.html").read_text("utf-8")


HOSTILE = [
    "<script>alert(1)<",
    "a#b?c%2e",
    "javascript:alert(1)",
    "..%2f..",
    "q\"uo'te",
    "\u202egpj",
    "x" * 200,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_every_link_leads_to_a_file_below_the_page_whatever_the_name(
    tmp_path: Path, fill: Fill, name: str
) -> None:
    for model in ("mean-1", "other-2"):
        fill(name, 0.9, model, Pages.REPORT)
    write_index(tmp_path)
    pages = [
        tmp_path / "index.html",
        tmp_path / "contact-sheet.html",
        *tmp_path.glob("*/models.html"),
    ]
    assert len(pages) == 3
    plain = Skeleton((tmp_path / "index.html").read_text("utf-8"))
    assert {element for element, _ in plain.elements}.isdisjoint({"b><script", "iframe"})
    for page in pages:
        made = Skeleton(page.read_text("utf-8"))
        assert made.links
        for link in made.links:
            assert link.startswith(("./", "../index.html"))
            target = (page.parent / unquote(link, errors="surrogateescape")).resolve()
            assert target.is_file()
            assert target.is_relative_to(tmp_path.resolve())
        assert len([1 for element, _ in made.elements if element == "script"]) == (
            page.name == "index.html"
        )


def test_the_models_of_a_slide_stand_side_by_side_while_there_are_several(
    tmp_path: Path, fill: Fill
) -> None:
    fill("s", 0.9, "one-1")
    fill("s", 0.1, "two-1")
    write_index(tmp_path)
    page = tmp_path / "s-f00df00d" / "models.html"
    words = " ".join(Skeleton(page.read_text("utf-8")).text.split())
    assert words.index("one-1") < words.index("two-1")
    assert "not all say the same level" in words
    assert "Made for: Tests." in words
    assert "all models" in (tmp_path / "index.html").read_text("utf-8")
    shutil.rmtree(tmp_path / "s-f00df00d" / "two-1")
    write_index(tmp_path)
    assert not page.exists()


def test_the_same_results_give_the_same_pages_and_none_is_written_twice(
    tmp_path: Path, fill: Fill
) -> None:
    fill("s", 0.9, "one-1")
    fill("s", 0.1, "two-1")
    write_index(tmp_path)
    pages = [*tmp_path.glob("*.html"), *tmp_path.glob("*/*.html")]
    before = {page: page.stat().st_mtime_ns for page in pages}
    write_index(tmp_path)
    assert {page: page.stat().st_mtime_ns for page in pages} == before


def test_of_two_runs_that_end_together_the_last_to_write_has_seen_both(
    tmp_path: Path, fill: Fill
) -> None:
    fill("first")
    with in_turn(tmp_path / ".index.lock"):
        waiting = threading.Thread(target=write_index, args=(tmp_path,))
        waiting.start()
        time.sleep(0.05)
        assert not (tmp_path / "index.html").exists()
        fill("second")
    waiting.join()
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "first" in page
    assert "second" in page
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_is_given_up_leaves_an_index_of_what_it_did(tmp_path: Path, fill: Fill) -> None:
    fill("s")
    with pytest.raises(KeyboardInterrupt), listed(tmp_path, Pages.REPORT):
        raise KeyboardInterrupt
    assert "Expedite" in (tmp_path / "index.html").read_text("utf-8")


def test_a_run_without_pages_leaves_no_index(tmp_path: Path, fill: Fill) -> None:
    with listed(tmp_path, Pages.NONE):
        fill("s")
    assert not list(tmp_path.glob("*.html"))


def test_a_flag_that_was_held_back_or_could_not_be_kept_is_marked(tmp_path: Path) -> None:
    class Holds(NoPost):
        def put(self, flag: Any) -> dict[str, Any]:
            raise HeldBack("EXPEDITE was sent")

    class Fails(NoPost):
        def put(self, flag: Any) -> dict[str, Any]:
            raise OutputError("the outbox is full")

    made = assessed(heatmap_of(np.full((6, 9), 0.9, np.float32), painted(6, 9).info))
    run = RunRecord(PROVENANCE, "0" * 64, {}, None, failed=False)
    write_results(tmp_path / "held-f00df00d" / "mean-1", made, run, Holds())
    with pytest.raises(Unsent):
        write_results(tmp_path / "kept-f00df00d" / "mean-1", made, run, Fails())
    held, unsent = rows(tmp_path)
    assert "Not sent: EXPEDITE was sent" in held
    assert "Not sent: it could not be kept for sending" in unsent
    page = (tmp_path / "kept-f00df00d" / "mean-1" / "report.html").read_text("utf-8")
    assert "This flag was not sent: it could not be kept" in page


def test_there_is_no_index_of_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder of results"):
        write_index(tmp_path / "absent")


def test_pages_name_no_case_and_bear_the_statement(tmp_path: Path, fill: Fill) -> None:
    folder = fill("s", 0.9, pages=Pages.REPORT)
    body = json.loads((folder / "flag.json").read_text())
    body["case"] = {"accession": {"value": "ACC-771", "issuer": None}}
    body["slide"]["slide_id"] = {"value": "SLIDE-9", "issuer": None}
    (folder / "flag.json").write_text(json.dumps(body))
    write_index(tmp_path)
    for page in tmp_path.glob("*.html"):
        text = page.read_text("utf-8")
        assert STATEMENT in text
        assert "ACC-771" not in text
        assert "SLIDE-9" not in text


def test_a_thousand_slides_are_listed_in_seconds(tmp_path: Path) -> None:
    body = json.dumps(
        flag_json(assessed(heatmap_of(np.full((6, 9), 0.9, np.float32))).flag, PROVENANCE)
    )
    for n in range(1000):
        folder = tmp_path / f"s{n}-f00df00d" / "mean-1"
        folder.mkdir(parents=True)
        (folder / "flag.json").write_text(body)
    began = time.process_time()
    write_index(tmp_path)
    assert time.process_time() - began < 3
    assert (tmp_path / "index.html").stat().st_size < 1_500_000


def test_a_run_ends_with_reports_that_the_index_links(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "one.tif")
    (outcome,) = run_here(tmp_path / "out", Failed, [slide])
    assert outcome.folder is not None
    page = (outcome.folder / "report.html").read_text("utf-8")
    assert page.count('id="place-') >= 4
    assert len(rows(tmp_path / "out")) == 1
