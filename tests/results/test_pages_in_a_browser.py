"""What a person sees: on a screen, on paper, without a mouse, without script, without a network."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import chromium, examined
from tests.delivery.servers import missing
from tests.examples import PROVENANCE
from tests.results.reports import assessed, heatmap_of, painted, random_scores, stopped
from wsi_ai.core.flags import STATEMENT
from wsi_ai.results.pages.index import write_index
from wsi_ai.results.pages.pdf import write_pdf
from wsi_ai.results.slide import Pages, RunRecord, write_results
from wsi_ai.run.no_ops import NoPost

SIZES = {"screen": (1280, 800), "telephone": (390, 844)}
HOT = (5, 20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides, one of them by two models, one with one hot cell only."""
    out = tmp_path_factory.mktemp("out")
    run = RunRecord(PROVENANCE, "0" * 64, {}, None, failed=False, pages=Pages.REPORT)
    hot = np.full((24, 36), 0.01, np.float32)
    hot[HOT] = 0.99
    for name, made in (
        ("many-f00df00d/mean-1", assessed(heatmap_of(random_scores()))),
        ("hot-f00df00d/mean-1", assessed(heatmap_of(hot))),
        ("hot-f00df00d/other-1", assessed(heatmap_of(hot))),
        ("none-f00df00d/mean-1", stopped("no spacing in the file; give --mpp")),
    ):
        write_results(out / name, made, run, NoPost(), painted())
    write_index(out)
    return out


def report(out: Path, slide: str) -> Path:
    return out / f"{slide}-f00df00d" / "mean-1" / "report.html"


PAGES = (
    "many-f00df00d/mean-1/report.html",
    "none-f00df00d/mean-1/report.html",
    "hot-f00df00d/models.html",
    "index.html",
    "contact-sheet.html",
)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    yield made
    made.close()


def opened(context: BrowserContext, path: Path) -> Page:
    page = context.new_page()
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_but_pictures_that_lie_beside_it(
    context: BrowserContext, out: Path, name: str
) -> None:
    asked, said = list[str](), list[str]()
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((out / name).as_uri())
    page.wait_for_load_state("networkidle")
    beyond = [url for url in asked if not url.startswith("data:")]
    assert beyond[0] == (out / name).as_uri()
    rest = beyond[1:]
    assert all(re.fullmatch(re.escape(out.as_uri()) + r".*/preview\.jpg", url) for url in rest)
    assert not (rest and "report" in name)
    assert said == []
    broken = "images => images.filter(i => i.complete && !i.naturalWidth).length"
    assert page.locator("img").evaluate_all(broken) == 0


@pytest.mark.parametrize("name", [PAGES[0], "index.html"])
def test_without_script_nothing_is_missing_but_what_moves(
    browser: Browser, context: BrowserContext, out: Path, name: str
) -> None:
    bare = browser.new_context(java_script_enabled=False)
    without, with_it = (opened(one, out / name) for one in (bare, context))
    for selector in ("h1, h2, p:not(#control p), dd", "tbody td, tbody th, figcaption li", "img"):
        assert without.locator(selector).count() == with_it.locator(selector).count()
    for moving in ("#control", "#filter"):
        assert not without.locator(moving).is_visible()
    text = "main p:visible, main dd:visible, main td:visible"
    assert without.locator(text).all_inner_texts() == [
        words
        for words in with_it.locator(text).all_inner_texts()
        if not words.strip().startswith("Heatmap")
    ]
    bare.close()


@pytest.mark.parametrize("slide", ["many", "hot", "none"])
def test_the_first_screen_has_at_most_120_words(
    context: BrowserContext, out: Path, slide: str
) -> None:
    page = opened(context, report(out, slide))
    words = page.evaluate(
        """() => {
          const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          let words = 0;
          while (walk.nextNode()) {
            const range = document.createRange();
            range.selectNodeContents(walk.currentNode);
            const box = range.getBoundingClientRect();
            const parent = walk.currentNode.parentElement;
            const seen = box.height && box.top < innerHeight && parent.checkVisibility();
            if (seen) words += (walk.currentNode.textContent.match(/\\S+/g) || []).length;
          }
          return words;
        }"""
    )
    assert 10 < words <= 120


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_a_telephone(browser: Browser, out: Path, name: str) -> None:
    width, height = SIZES["telephone"]
    narrow = browser.new_context(viewport={"width": width, "height": height})
    page = opened(narrow, out / name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    narrow.close()


@pytest.mark.parametrize("size", SIZES)
def test_the_heatmap_lies_on_its_cell_on_the_screen(browser: Browser, out: Path, size: str) -> None:
    width, height = SIZES[size]
    made = browser.new_context(viewport={"width": width, "height": height})
    page = opened(made, report(out, "hot"))
    page.locator("#slide").scroll_into_view_if_needed()
    shot = Image.open(BytesIO(page.locator("#slide").screenshot())).convert("RGB")
    pixels = np.asarray(shot).astype(int)
    yellow = (pixels[..., 0] > 180) & (pixels[..., 1] > 170) & (pixels[..., 2] < 140)
    y, x = np.nonzero(yellow)
    cell = shot.height / 24, shot.width / 36
    assert y.mean() / cell[0] == pytest.approx(HOT[0] + 0.5, abs=0.5)
    assert x.mean() / cell[1] == pytest.approx(HOT[1] + 0.5, abs=0.5)
    made.close()


def tab_to(page: Page, kind: str, wanted: str) -> None:
    """Until what has the focus is the one that is meant."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.{kind}") == wanted:
            return
    pytest.fail(f"no key leads to {wanted}")


def test_the_slider_changes_the_heatmap_by_keys_alone(context: BrowserContext, out: Path) -> None:
    page = opened(context, report(out, "many"))
    opacity = "document.querySelector('.heat').computedStyleMap().get('opacity').value"
    assert page.evaluate(opacity) == pytest.approx(0.6)
    tab_to(page, "id", "opacity")
    page.keyboard.press("Home")
    assert page.evaluate(opacity) == 0
    page.keyboard.press("End")
    assert page.evaluate(opacity) == 1


def test_a_place_is_enlarged_and_closed_by_keys_alone(context: BrowserContext, out: Path) -> None:
    page = opened(context, report(out, "many"))
    tab_to(page, "ariaLabel", "Enlarge place 2")
    page.keyboard.press("Enter")
    box = page.locator("dialog")
    assert box.is_visible()
    number = box.locator(".caption b")
    assert number.inner_text() == "2"
    page.keyboard.press("ArrowRight")
    assert number.inner_text() == "3"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert number.inner_text() == "1"
    page.keyboard.press("Escape")
    assert not box.is_visible()
    assert page.evaluate("document.activeElement.ariaLabel") == "Enlarge place 2"


def test_the_index_is_sorted_and_filtered_by_keys_alone(context: BrowserContext, out: Path) -> None:
    page = opened(context, out / "index.html")
    slides = page.locator("tbody tr:visible th bdi")
    before = slides.all_inner_texts()
    tab_to(page, "textContent", "slide")
    page.keyboard.press("Enter")
    assert slides.all_inner_texts() == sorted(before)
    page.keyboard.press("Enter")
    assert slides.all_inner_texts() == sorted(before, reverse=True)
    assert page.locator("th[aria-sort=descending]").count() == 1
    page.locator("#words").fill("spacing none")
    assert slides.all_inner_texts() == ["none"]
    assert page.locator("#shown").inner_text() == "1 of 4 shown"
    page.locator("#words").fill("")
    page.locator("#filter input[value=not_assessed]").press("Space")
    assert "none" not in slides.all_inner_texts()


def test_a_script_that_is_not_the_page_s_own_does_not_run(
    context: BrowserContext, out: Path, tmp_path: Path
) -> None:
    text = report(out, "many").read_text("utf-8")
    planted = (
        "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    )
    page = tmp_path / "planted.html"
    page.write_text(text.replace("<main>", f"<main>{planted}"), "utf-8")
    assert opened(context, page).title() != "taken"


def pages_of(pdf: Path) -> list[str]:
    if shutil.which("pdftotext") is None:
        missing("no pdftotext: apt-get install poppler-utils")
    done = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True)
    return done.stdout.split("\f")[:-1]


@pytest.mark.parametrize("name", PAGES)
def test_each_printed_page_bears_the_statement_and_what_it_is_about(
    context: BrowserContext, out: Path, tmp_path: Path, name: str
) -> None:
    printed = tmp_path / "printed.pdf"
    opened(context, out / name).pdf(path=printed, prefer_css_page_size=True, print_background=True)
    pages = pages_of(printed)
    assert pages
    assert len(pages) <= 6
    for n, words in enumerate(pages, 1):
        assert STATEMENT in " ".join(words.split())
        assert f"{n}/{len(pages)}" in words.replace(" ", "")
        if "report" in name:
            assert "painted, mean-1" in words


def test_each_page_of_the_pdf_bears_the_statement_and_what_it_is_about(out: Path) -> None:
    folder = report(out, "hot").parent
    write_pdf(folder)
    first = (folder / "report.pdf").read_bytes()
    pages = pages_of(folder / "report.pdf")
    assert len(pages) >= 3
    for n, words in enumerate(pages, 1):
        assert STATEMENT in " ".join(words.split())
        assert "painted, mean-1" in words
        assert f"{n}/{len(pages)}" in words.replace(" ", "")
    write_pdf(folder)
    assert (folder / "report.pdf").read_bytes() == first


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(context: BrowserContext, out: Path, name: str) -> None:
    serious, kept = examined(opened(context, out / name))
    assert serious == []
    assert kept > 10
