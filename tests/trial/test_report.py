"""The report is one whole page, says what it does not know, and is understood by who reads it."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browser import chromium, examined
from tests.trial.regions import Region, open_bundle
from wsi_ai.core.flags import STATEMENT
from wsi_ai.trial.bundle import Running, with_all_levels
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.intake import LeftOut
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.region.result import result_of
from wsi_ai.trial.region.sites import SharedFile, ShownSite, Sites
from wsi_ai.trial.report.exhibits import exhibits
from wsi_ai.trial.report.first_page import MOST_WORDS, first_page, words
from wsi_ai.trial.report.items import DECIDE, NOT_STATED, SILENT, STARD, is_item, items
from wsi_ai.trial.report.page import Extras, report
from wsi_ai.trial.report.plots.frame import drawing
from wsi_ai.trial.report.plots.time import by_month
from wsi_ai.trial.report.words import Exhibit, minus
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Arm, Gain

REGION = Region(sites=6)
HOSTILE = '<script>alert(1)</script> & "quoted"'


def made_sites() -> Sites:
    names, protocol = REGION.names, titled(HOSTILE)
    sums = [with_all_levels(REGION.sums(name, 2), REGION.protocol) for name in names]
    shown = open_bundle(sums[-1], REGION.protocol, Running(1))
    return Sites(
        protocol,
        2,
        tuple(sums[:-1]),
        (ShownSite(shown, shown["open"], protocol.small_numbers),),
        tuple(SharedFile(n, f"{k:064x}", 1, "controlled") for k, n in enumerate(names)),
        (LeftOut("RAZ.dsse", "replayed: of look 1, and look 2 is pooled"),),
    )


def titled(title: str) -> Protocol:
    return Protocol({**REGION.protocol.document, "title": title})


SITES = made_sites()
RESULT = result_of(SITES)
ARM = Arm(Estimate(20, 19, 21), Estimate(60, 58, 62))
GAINS = dict.fromkeys(Group, Gain(ARM, ARM, Estimate(-9, -10, -8)))


@pytest.fixture(scope="module")
def shown() -> tuple[Exhibit, ...]:
    return exhibits(SITES, RESULT, GAINS)


@pytest.fixture(scope="module")
def page() -> str:
    return report(SITES, RESULT, Extras(dict(GAINS), {STARD: {"33": "Six made-up sites."}}))


class Outline(HTMLParser):
    """What stands in a page, by element."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    return parsed


def test_the_page_has_no_script_and_fetches_nothing(page: str) -> None:
    parsed = outline(page)
    assert not parsed.all("script")
    assert "alert(1)</script>" not in page
    for name, attributes in parsed.found:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("href", "src", "xlink:href"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:")), (name, value)
    assert not re.search(r"@import|url\((?!#)", page)


def test_a_screen_reader_finds_language_headers_and_every_plots_numbers(
    page: str, shown: tuple[Exhibit, ...]
) -> None:
    parsed = outline(page)
    assert parsed.all("html") == [{"lang": "en-GB"}]
    assert all(header.get("scope") in ("col", "row") for header in parsed.all("th"))
    ids = [attributes["id"] for _, attributes in parsed.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert all(a["href"][1:] in ids for a in parsed.all("a") if a["href"])
    for one in shown:
        assert one.tables or one.id == "plane"
        assert one.text.endswith((".", "]")) or one.id == "roc"
    assert len(parsed.all("figure")) >= 12
    assert len(parsed.all("caption")) == len(parsed.all("table"))


def test_statement_digests_and_what_was_left_out_stand_in_the_page(page: str) -> None:
    assert page.count(STATEMENT) == 3  # at its head and end, and at the foot of every printed page
    assert SITES.protocol.sha256 in page
    for file in SITES.files:
        assert file.sha256 in page
    for sums in SITES.exact:
        assert sums.origin.lock_sha256 in page
    assert "RAZ.dsse" in page
    assert "replayed: of look 1" in page
    assert "EXACT COUNTS: under DSA 7" in page


def test_a_pathologist_reads_the_first_page_in_150_words() -> None:
    for gains in (None, GAINS):
        lines = first_page(SITES, RESULT, gains)
        assert words(lines) <= MOST_WORDS
        assert [line.question for line in lines][:2] == ["Asked", "Answer"]
        assert "Silence never means benign." in lines[-1].answer


def test_the_first_page_has_no_more_words_where_everything_is_wrong() -> None:
    early = tuple(replace(s, origin=replace(s.origin, opened_early=True)) for s in SITES.exact)
    wrong = replace(SITES, exact=early, left_out=SITES.left_out * 9)
    lines = first_page(wrong, RESULT, GAINS)
    assert "UNBLINDED" in [line.question for line in lines]
    assert words(lines) <= MOST_WORDS


def test_flags_that_were_read_early_are_marked_at_the_head(page: str) -> None:
    first = SITES.exact[0]
    early = replace(first, origin=replace(first.origin, opened_early=True, locks=2))
    sites = replace(SITES, exact=(early,), shown=(), files=SITES.files[:1])
    assert sites.unblinded == ("RAA",)
    found = report(sites, result_of(sites), Extras())
    assert found.count("UNBLINDED at RAA") >= 2
    assert "CORRECTED at RAA: the reference was locked again" in found
    assert "UNBLINDED" not in page
    assert "CORRECTED" not in page


def test_what_the_protocol_does_not_ask_is_exploratory(shown: tuple[Exhibit, ...]) -> None:
    marked = {one.id for one in shown if one.exploratory}
    assert marked == {"sites-specificity", "roc", "benefit"}


def test_an_item_that_nobody_stated_says_so_in_red_and_a_typed_one_says_who(page: str) -> None:
    assert '<td class="missing">not stated</td>' in page
    found = {(i.guideline, i.number): i for i in items(SITES, {STARD: {"33": "Six sites."}})}
    assert found[STARD, "33"].source == "typed by the lead"
    assert found[STARD, "33"].answer == "Six sites."
    assert found[STARD, "34"].answer == NOT_STATED
    assert found[STARD, "15a"].answer.startswith("0.62")
    assert "Six made-up sites." in page


def test_every_item_of_both_guidelines_is_there_once_and_silence_is_no_answer() -> None:
    found = items(SITES, {})
    stard = [i.number for i in found if i.guideline == STARD]
    decide = [i.number for i in found if i.guideline == DECIDE]
    assert len(stard) == len(set(stard)) == 48
    assert {re.sub(r"[a-d]$", "", number) for number in stard} == {str(k) for k in range(1, 41)}
    assert len(decide) == len(set(decide)) == 27
    silent = {i.number for i in found if i.answer == SILENT}
    assert silent == {"10", "12", "14"}
    live = replace(SITES, protocol=Protocol({**SITES.protocol.document, "design": "live"}))
    assert not any(i.answer == SILENT for i in items(live, {}))
    assert is_item(STARD, "15a")
    assert not is_item(STARD, "15e")
    assert not is_item("CONSORT", "1")


def test_a_report_of_rounded_counts_alone_says_that_the_rest_is_not_estimable() -> None:
    sites = replace(SITES, exact=(), files=SITES.files[-1:])
    page = report(sites, result_of(sites), Extras())
    assert "not estimable" in page
    assert "EXACT COUNTS" not in page


def test_a_stability_index_stands_beside_what_chance_alone_makes() -> None:
    """Of 25 cases in ten bins it is 0.7 where nothing has changed."""
    months = by_month(SITES.exact)
    assert months["2027-02"].index == 0.04
    assert 0.1 < months["2027-02"].by_chance < 0.15
    assert months["2027-01"].index is None


def test_two_plots_in_one_page_share_no_id_and_no_style() -> None:
    svgs = []
    for name in ("one", "other"):
        with drawing(name, 2) as (made, axes):
            axes.plot([0, 1], [0, 1])
            axes.text(0, 0, "1 < 2 & 3")
        svgs.append(made.svg)
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in svgs]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert not any("<style" in svg or "<metadata" in svg for svg in svgs)
    assert "1 &lt; 2 &amp; 3" in svgs[0]


def test_a_browser_finds_nothing_serious_and_prints_the_digest_on_every_page(
    page: str, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text(page)
    complaints: list[str] = []
    with chromium() as browser:
        shown = browser.new_page()
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("request", lambda request: complaints.append(request.url))
        shown.goto((tmp_path / "report.html").as_uri())
        serious, passed = examined(shown)
        shown.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert not serious
    assert passed > 10
    assert complaints == [(tmp_path / "report.html").as_uri()]
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    done = subprocess.run(
        ["pdftotext", tmp_path / "report.pdf", "-"], capture_output=True, check=True, text=True
    )
    pages = done.stdout.split("\f")[:-1]
    assert len(pages) > 4
    assert all(SITES.protocol.sha256[:16] in text for text in pages)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-0.0 (-6.2 to +6.2)", "+0.0 (−6.2 to +6.2)"),
        ("-0.05", "−0.05"),
        ("-10.0", "−10.0"),
        ("-0", "+0"),
    ],
)
def test_a_gap_that_is_rounded_to_nothing_is_none_below_it(text: str, shown: str) -> None:
    assert minus(text) == shown
