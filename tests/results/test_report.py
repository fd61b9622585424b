"""A report says what its folder's flag says, where, and what was not seen."""

import base64
import dataclasses
import io
import json
import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from tests.examples import PROVENANCE
from tests.results.reports import (
    CARD,
    CELL,
    RECORD,
    Skeleton,
    assessed,
    example_report,
    heatmap_of,
    look_of,
    many_findings,
    painted,
    random_scores,
    report_of,
    stopped,
)
from wsi_ai.core.flags import STATEMENT, Check, Identity, Quality, Status
from wsi_ai.core.geometry import Box, Size
from wsi_ai.core.printable import UNSEEN
from wsi_ai.core.values import Objects, SlideInfo
from wsi_ai.errors import HeldBack
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.pages.gallery import MOST, strongest
from wsi_ai.results.pages.histogram import histogram
from wsi_ai.results.pages.page import score
from wsi_ai.results.slide import Pages, RunRecord, write_results
from wsi_ai.run.no_ops import NoPost
from wsi_ai.testing import PaintedSlide
from wsi_ai.triage.judge import TriagePolicy, identified, not_assessed

RUN = RunRecord(PROVENANCE, "0" * 64, {}, None, failed=False)
TEXT = st.text(min_size=1, max_size=60)


def text_of(page: str) -> str:
    return " ".join(Skeleton(page).text.split())


@pytest.mark.parametrize("level", ["expedite", "standard", "not_assessed"])
def test_a_report_says_the_level_its_reason_and_the_statement(level: str) -> None:
    scores = {"expedite": 0.9, "standard": 0.1, "not_assessed": np.nan}[level]
    made = assessed(heatmap_of(np.full((24, 36), scores, np.float32)))
    assert made.flag.level == level
    words = text_of(report_of(made, painted()))
    assert level.replace("_", " ").capitalize() in words
    assert made.flag.reason in words
    assert STATEMENT in words
    assert ("does not mean benign" in words) == (level == "standard")


def test_a_slide_that_was_never_looked_at_has_its_reason_and_no_picture() -> None:
    page = report_of(stopped("no spacing in the file; give --mpp"))
    assert "<img" not in page
    assert "no spacing in the file; give --mpp" in text_of(page)


def test_a_slide_that_failed_its_quality_is_shown_without_a_heatmap() -> None:
    bad = Quality((Check("focus", 0.2, 0.6, Status.FAIL, "share of spots in focus"),), 0.4)
    flag = not_assessed(painted().info, CARD, TriagePolicy(), "out of focus", bad)
    page = report_of(Assessment(flag, look_of(quality=bad)), painted())
    assert page.count('src="data:image/jpeg') == 1
    assert 'class="heat"' not in page
    assert 'id="opacity"' not in page
    assert "focus failed 0.2 0.6" in text_of(page)


@given(name=TEXT, label=TEXT, reason=TEXT, model=TEXT)
@settings(max_examples=25)
def test_no_name_changes_a_page_s_elements_nor_hides_in_it(
    name: str, label: str, reason: str, model: str
) -> None:
    def page(name: str, label: str, reason: str, model: str) -> str:
        card = dataclasses.replace(
            CARD,
            ref=dataclasses.replace(CARD.ref, name=model),
            classes=("stroma", label + "'"),
            point=dataclasses.replace(CARD.point, label=label + "'"),
        )
        slide = dataclasses.replace(painted(6, 6).info, slide_id=name)
        made = assessed(heatmap_of(random_scores(6, 6), slide, card), reason=reason)
        return report_of(made)

    hostile = Skeleton(page(name, label, reason, model))
    assert hostile.elements == Skeleton(page("a", "b", "c", "d")).elements
    kept = set(hostile.text) - {"\n"}
    assert not [sign for sign in kept if unicodedata.category(sign) in UNSEEN]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "gpj.\u202eslide",
        "n" * 10_000,
    ],
)
def test_a_hostile_name_is_text_and_no_longer_than_a_line_or_two(name: str) -> None:
    slide = dataclasses.replace(painted(6, 6).info, slide_id=name)
    page = report_of(assessed(heatmap_of(random_scores(6, 6), slide)))
    assert name not in page
    assert len(page) < len(report_of(assessed(heatmap_of(random_scores(6, 6))))) + 2_000


def test_the_same_result_gives_the_same_bytes_at_another_time() -> None:
    first = example_report()
    time.sleep(0.01)
    assert example_report() == first
    assert str(time.gmtime().tm_year) not in first.replace(str(PROVENANCE.finished.year), "")


def test_a_report_names_no_case() -> None:
    made = assessed(heatmap_of(random_scores()))
    identity = Identity("RXX", "ACC-771", "SLIDE-9", "B-3", "H&E", "net-x", "issuer-y")
    page = report_of(dataclasses.replace(made, flag=identified(made.flag, identity)))
    for secret in ("ACC-771", "SLIDE-9", "B-3", "RXX", "issuer-y"):
        assert secret not in re.sub(r"data:[^\"]+", "", page)


@given(npst.arrays(np.float32, (24, 36), elements=st.floats(0, 1, width=32) | st.just(np.nan)))
@settings(max_examples=60)
def test_the_strongest_places_are_the_highest_and_none_is_closer_than_two_tiles(
    scores: np.ndarray,
) -> None:
    heatmap = heatmap_of(scores)
    made = assessed(heatmap)
    found = strongest(heatmap, made.flag)
    shown = [place.score for place in found]
    assert shown == sorted(shown, reverse=True)
    assert len(found) <= MOST
    assert bool(found) == bool(np.isfinite(scores).any())
    if found:
        assert shown[0] == np.nanmax(scores)
    for place in found:
        assert scores[int(place.top) // CELL, int(place.left) // CELL] == np.float32(place.score)
        assert place.counts == (place.score >= made.flag.threshold)
    for n, one in enumerate(found):
        for other in found[:n]:
            apart = np.abs(np.subtract(one.middle, other.middle))
            assert apart.max() >= 2 * CELL
    if len(found) < MOST:  # then nothing else that was assessed is far enough away
        for row, col in np.argwhere(np.isfinite(scores)):
            middle = (col + 0.5) * CELL, (row + 0.5) * CELL
            assert min(np.abs(np.subtract(middle, p.middle)).max() for p in found) < 2 * CELL


def test_a_place_shows_the_slide_where_its_cell_lies_and_frames_it() -> None:
    scores = np.full((24, 36), 0.1, np.float32)
    scores[13, 22] = 0.9
    page = report_of(assessed(heatmap_of(scores)), painted())
    card = page[page.index('id="place-1"') :]
    picture = image_in(card)
    frame = re.search(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', card)
    assert frame is not None
    left, top, width = (float(v) * 5.12 for v in frame.groups())
    assert width == pytest.approx(CELL, abs=0.1)
    # ``grid_paint``: red is the row of a cell, green its column; JPEG is off by a little
    inside = picture[round(top) + 20 : round(top) + 44, round(left) + 20 : round(left) + 44]
    assert inside[..., 0].mean() == pytest.approx(13, abs=3)
    assert inside[..., 1].mean() == pytest.approx(22, abs=3)
    assert f"x {22 * CELL + 32:,}, y {13 * CELL + 32:,}" in text_of(card)


def image_in(page: str) -> np.ndarray:
    found = re.search(r"data:image/\w+;base64,([^\"]+)", page)
    assert found is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA"))[..., :]


def test_a_place_that_cannot_be_read_says_so() -> None:
    slide = PaintedSlide(Size(36 * CELL, 24 * CELL), broken=(Box(0, 0, 36 * CELL, 24 * CELL),))
    page = report_of(assessed(heatmap_of(random_scores())), slide)
    assert text_of(page).count("could not be read") >= MOST


def test_a_slide_whose_share_is_gone_at_the_end_keeps_its_answer(tmp_path: Path) -> None:
    class Gone(PaintedSlide):
        def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
            raise OSError(5, "Input/output error")

    made = assessed(heatmap_of(random_scores()))
    write_results(tmp_path / "slide", made, RUN, NoPost(), Gone(painted().size))
    words = text_of((tmp_path / "slide" / "report.html").read_text("utf-8"))
    assert words.count("could not be read") >= MOST
    assert (tmp_path / "slide" / "flag.json").exists()


def test_the_report_is_on_the_disk_before_the_flag_is_put(tmp_path: Path) -> None:
    class Looks(NoPost):
        def put(self, flag: Any) -> dict[str, Any]:
            (page,) = tmp_path.glob(".slide.new/report.html")
            assert flag["flag_id"] in page.read_text("utf-8")
            return dict(flag)

    written(tmp_path / "slide", assessed(heatmap_of(random_scores())), Looks())


def test_a_slide_without_a_scale_has_no_scale_bar() -> None:
    info = dataclasses.replace(painted().info, spacing=None)
    flag = not_assessed(info, CARD, TriagePolicy(), "no spacing", None)
    page = report_of(Assessment(flag, look_of()))
    assert 'class="bar"' not in page
    assert "scale unknown" in page


@pytest.mark.parametrize(("row", "col"), [(0, 0), (13, 22), (23, 35)])
def test_a_cell_of_the_heatmap_lies_on_its_place_of_the_picture(row: int, col: int) -> None:
    """The slide ends inside its last cells."""
    size = Size(36 * CELL - 30, 24 * CELL - 50)
    slide = SlideInfo("s", size, painted().info.spacing, (1.0,), "f00d" * 16)
    scores = np.full((24, 36), np.nan, np.float32)
    scores[row, col] = 1.0
    page = report_of(assessed(heatmap_of(scores, slide)))
    found = re.search(
        r'class="heat" src="([^"]+)" alt="" style="width: ([\d.]+)%; height: ([\d.]+)%', page
    )
    assert found is not None
    cells = image_in(found[1])
    assert cells.shape[:2] == (24, 36)
    assert float(found[2]) == pytest.approx(100 * 36 * CELL / size.width, abs=1e-3)
    assert float(found[3]) == pytest.approx(100 * 24 * CELL / size.height, abs=1e-3)
    yellow = (cells[..., 0] > 200) & (cells[..., 1] > 200)
    assert np.argwhere(yellow).tolist() == [[row, col]]


@given(npst.arrays(np.float32, st.integers(1, 300), elements=st.floats(0, 1, width=32)))
def test_a_histogram_loses_nothing_and_marks_what_reaches_the_threshold(scores: np.ndarray) -> None:
    made = histogram(scores, 0.42)
    assert made is not None
    assert sum(bar.number for bar in made.bars) == made.number == len(scores)
    assert max(bar.share for bar in made.bars) == pytest.approx(1)
    assert next(bar.low for bar in made.bars if bar.counts) == pytest.approx(0.42)


@given(st.floats(0, 1), st.floats(0.01, 0.99))
def test_a_score_is_never_shown_as_more_than_it_is(value: float, threshold: float) -> None:
    assert float(score(value)) <= value
    assert value >= threshold or float(score(value)) <= float(score(threshold))


def test_a_detection_says_its_counts_and_marks_them() -> None:
    middles = np.array([[700.0, 500], [710, 510], [90, 90]])
    objects = Objects(
        np.hstack([middles, middles]), np.array([0.9, 0.8, 0.3], np.float32), np.array([1, 1, 1])
    )
    scores = np.zeros((24, 36), np.float32)
    scores[7, 10], scores[7, 11], scores[1, 1] = 0.9, 0.8, 0.3
    heatmap = dataclasses.replace(heatmap_of(scores), objects=objects)
    card = dataclasses.replace(CARD, task="detection")
    made = assessed(dataclasses.replace(heatmap, model=card))
    page = report_of(
        dataclasses.replace(made, flag=dataclasses.replace(made.flag, model=card)), painted()
    )
    words = text_of(page)
    assert "Counted 2" in words
    assert "red what the flag is about 2 1" in words
    first = page[page.index('id="place-1"') : page.index('id="place-2"')]
    assert first.count("<circle") == 2
    assert "0 counted" in words  # the one below the threshold is a place, too


def test_twenty_thousand_tiles_and_a_hundred_thousand_regions_are_small_and_soon_done() -> None:
    rows, cols = 125, 160
    made = assessed(heatmap_of(random_scores(rows, cols)))
    flag = dataclasses.replace(made.flag, findings=many_findings(100_000))
    made = dataclasses.replace(made, flag=flag)
    began = time.process_time()
    page = report_of(made, painted(rows, cols))
    assert time.process_time() - began < 2
    assert len(page) < 5_000_000
    assert "99,980 more" in text_of(page)


def written(folder: Path, made: Assessment, post: Any = None, run: RunRecord = RUN) -> str:
    write_results(folder, made, run, post or NoPost())
    return text_of((folder / "report.html").read_text("utf-8"))


def test_a_report_is_made_anew_whenever_its_flag_is(tmp_path: Path) -> None:
    """Never does it stay beside another answer."""
    heatmaps = [heatmap_of(np.full((24, 36), s, np.float32)) for s in (0.9, 0.1, np.nan)]
    answers = [*(assessed(heatmap) for heatmap in heatmaps), stopped("the file is damaged")]
    for made in (*answers, *reversed(answers)):
        words = written(tmp_path / "slide", made)
        body = json.loads((tmp_path / "slide" / "flag.json").read_text())
        assert body["result"]["explanation"] in words
        assert body["flag_id"] in words
        there = (tmp_path / "slide" / "preview.jpg").exists()
        assert there == (made.look is not None)


def test_a_report_says_the_revision_that_was_kept(tmp_path: Path) -> None:
    class Third(NoPost):
        def put(self, flag: Any) -> dict[str, Any]:
            return {**flag, "revision": 3}

    assert "revision 3" in written(
        tmp_path / "slide", assessed(heatmap_of(random_scores())), Third()
    )


def test_a_report_of_a_flag_that_was_held_back_says_so(tmp_path: Path) -> None:
    class Holds(NoPost):
        def put(self, flag: Any) -> dict[str, Any]:
            raise HeldBack("EXPEDITE was sent, and STANDARD would take it back")

    words = written(tmp_path / "slide", assessed(heatmap_of(random_scores())), Holds())
    assert "This flag was not sent: EXPEDITE was sent" in words


def test_a_run_killed_while_its_report_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    class Killed(NoPost):
        def put(self, flag: Any) -> dict[str, Any]:
            raise KeyboardInterrupt

    before = written(tmp_path / "slide", stopped("first"))
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "slide", assessed(heatmap_of(random_scores())), Killed())
    assert text_of((tmp_path / "slide" / "report.html").read_text("utf-8")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["slide"]


def test_without_pages_there_are_none(tmp_path: Path) -> None:
    run = dataclasses.replace(RUN, pages=Pages.NONE)
    write_results(tmp_path / "slide", assessed(heatmap_of(random_scores())), run, NoPost())
    names = {path.name for path in (tmp_path / "slide").iterdir()}
    assert not names & {"report.html", "report.pdf", "preview.jpg"}


def test_every_report_says_where_to_ask_whether_it_still_holds() -> None:
    words = text_of(example_report())
    assert "amended, taken back or recalled since is not seen here" in words
    assert "wsi-ai flags show" in words


def test_what_could_not_be_read_is_counted_in_the_report() -> None:
    scores = random_scores()
    scores[:3] = np.nan
    words = text_of(report_of(assessed(heatmap_of(scores)), record=RECORD))
    assert "108 of 864 tiles could not be read or gave no number" in words
