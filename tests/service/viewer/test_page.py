"""The page in a real browser: what lies where on the screen, keys, sliders, regions, failures."""

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from tests.browser import chromium, examined
from tests.conftest import DEMO_MODEL
from tests.service.viewer.parts import (
    analysed,
    changed,
    ramp,
    shelf_of,
    write_deflate_slide,
    write_jpeg_slide,
)
from tests.service.viewer.test_app import regions_file
from tests.service.viewer.test_guard import served
from wsi_ai.run.run_slides import run_slides
from wsi_ai.service.viewer.shelf import Shelf
from wsi_ai.slides.registry import open_slide

LOADED = """() => Boolean(window.wsiAi?.shown && window.viewer?.world.getItemCount()
  && viewer.world.getItemAt(0).getFullyLoaded())"""

STILL = """() => { const view = viewer.viewport;
  return view.getZoom(true) === view.getZoom(false)
    && view.getCenter(true).equals(view.getCenter(false)); }"""
TWO_FRAMES = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(done)))"""
MOVE = """([zoom, x, y]) => { viewer.viewport.zoomTo(zoom, null, true);
  viewer.viewport.panTo(new OpenSeadragon.Point(x, y), true); }"""
COLOURS = """async () => { const {colourTable} = await import('/static/heat.js');
  return Array.from(colourTable(127)); }"""
OUTLINE_ALL = """() => { const start = performance.now();
  const pen = document.createElement('canvas').getContext('2d');
  wsiAi.shown.regions.all.forEach((one) => { delete one.path; });
  wsiAi.shown.regions.draw(pen, {left: 0, top: 0, right: 1e9, bottom: 1e9}, 1);
  return performance.now() - start; }"""
READ = """async (url) => { try {
  return await (await fetch(url, {credentials: 'include'})).text(); }
  catch { return 'refused'; } }"""
SHOW = """(url) => new Promise((done) => { const image = new Image();
  image.onload = () => done('shown'); image.onerror = () => done('refused'); image.src = url; })"""
FOCUSED = """() => { const {id, className, tagName} = document.activeElement;
  return id || className || tagName; }"""
ANOTHER = """(address) => {
  const element = document.body.appendChild(document.createElement('div'));
  Object.assign(element.style, {width: '320px', height: '320px', position: 'fixed', inset: '0'});
  window.other = OpenSeadragon({element, drawer: 'canvas', tileSources: address,
    showNavigationControl: false}); }"""
MIDDLE = """() => { const {canvas} = other.drawer, pen = canvas.getContext('2d');
  return Array.from(pen.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data); }"""
ABOVE_LAYERS = """() => Boolean(document.getElementById('marks').compareDocumentPosition(
  document.getElementById('minimap')) & Node.DOCUMENT_POSITION_FOLLOWING)"""
OUTLINED = """() => { document.getElementById('next').focus();
  return getComputedStyle(document.activeElement).outlineStyle; }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


class Page:
    """A page that is open, and what its console said."""

    def __init__(self, page: Any) -> None:
        self.page, self.said = page, list[str]()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def _note(self, line: Any) -> None:
        if line.type == "error":
            self.said.append(line.text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def until(self, script: str, within_s: float = 20) -> Any:
        """Polled from outside: the page's own rules forbid ``eval`` inside."""
        deadline = time.monotonic() + within_s
        while not (found := self.page.evaluate(script)):
            assert time.monotonic() < deadline, (script, self.said, self.text("#notice"))
            time.sleep(0.05)
        return found

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).text_content())

    def heat_is_there(self) -> None:
        self.settled()
        self.until("() => [...wsiAi.shown.heat.windows.values()].every((one) => one.codes)")
        self.settled()

    def settled(self) -> None:
        """No tile is missing, nothing moves, and what is drawn is what is seen."""
        self.until(LOADED)
        self.until(STILL)
        self.until(LOADED)
        self.page.evaluate(TWO_FRAMES)


@contextmanager
def opened(browser: Any, shelf: Shelf, width: int = 900, height: int = 600) -> Iterator[Page]:
    with served(shelf) as guard:
        context = browser.new_context(viewport={"width": width, "height": height})
        page = Page(context.new_page())
        page.goto(guard.address)
        yield page
        context.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    analysed(write_jpeg_slide(folder / "slide.tif"), folder / "out")
    return folder


@pytest.fixture(scope="module")
def tumour(
    sample: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A slide with a planted tumour, and its results."""
    slide = sample(size_px=2048, seed=31, tumour=True)
    (outcome,) = run_slides([slide], DEMO_MODEL, tmp_path_factory.mktemp("tumour") / "out")
    assert outcome.folder is not None
    return slide, outcome.folder


def picture(page: Page, layer: str) -> NDArray[np.uint8]:
    """RGBA of a canvas of the page, as it is."""
    script = """(id) => {
      const from = id ? document.getElementById(id) : viewer.drawer.canvas;
      return from.toDataURL('image/png').split(',')[1]; }"""
    data = np.frombuffer(base64.b64decode(page.evaluate(script, layer)), np.uint8)
    bgra = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA))


def hot(folder: Path) -> tuple[NDArray[np.bool_], float]:
    """Cells at or above the threshold, and a cell's side in level-0 pixels."""
    group: Any = zarr.open_group(folder / "heatmap.ome.zarr", mode="r")
    flag = json.loads((folder / "flag.json").read_text())
    scale = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    return np.nan_to_num(group["0"][0][:]) >= flag["result"]["threshold"]["value"], (
        scale["scale"][2] / flag["slide"]["mpp"]
    )


def test_the_heatmap_lies_on_the_planted_tumour_to_within_half_a_cell_at_three_zooms(
    browser: Any, tumour: tuple[Path, Path], tmp_path: Path
) -> None:
    """Where the slide is on the screen is measured in its own pixels, and where the heatmap is in
    the heatmap's."""
    slide, folder = tumour
    cells, cell = hot(folder)
    cold = np.pad(~cells, ((1, 0), (1, 0)), constant_values=True)
    corners = np.argwhere(cells & cold[1:, :-1] & cold[:-1, 1:])
    row, col = corners[len(corners) // 2]
    middle = col * cell, row * cell
    with open_slide(slide) as whole:
        pixels = whole.read(0, 0, 0, 2048, 2048)
    with opened(browser, shelf_of(tmp_path, [folder.parent.parent], [slide])) as page:
        page.until("() => wsiAi.shown?.heat")
        for zoom in (1.0, 2.5, 5.0):
            page.evaluate(MOVE, [zoom, middle[0] / 2048, middle[1] / 2048])
            page.heat_is_there()
            scale = page.evaluate("() => wsiAi.place().scale")
            at = found_at(picture(page, "")[..., :3], pixels, scale, middle)
            drawn = picture(page, "heat")[..., 3] > 128
            corner = at[0] - middle[0] * scale, at[1] - middle[1] * scale
            off = shift_of(drawn, cells, corner, cell * scale)
            print(f"zoom {zoom}: {off} of a cell off, {cell * scale:.1f} px on the screen")
            assert max(map(abs, off)) <= 0.125
        assert page.said == []


def shift_of(
    drawn: NDArray[np.bool_],
    cells: NDArray[np.bool_],
    corner: tuple[float, float],
    side: float,
) -> tuple[float, float]:
    """By how much of a cell the cells that are drawn have to be moved to lie where they belong:
    of all moves by eighths up to a cell, the one that fits best; the shortest of those alike."""
    moves = [(dx / 8, dy / 8) for dx in range(-8, 9) for dy in range(-8, 9)]
    y, x = np.mgrid[: drawn.shape[0] : 3, : drawn.shape[1] : 3]
    padded = np.pad(cells, 2)

    def fit(move: tuple[float, float]) -> float:
        col = np.floor((x + 0.5 - corner[0]) / side - move[0]).astype(int) + 2
        row = np.floor((y + 0.5 - corner[1]) / side - move[1]).astype(int) + 2
        col, row = col.clip(0, padded.shape[1] - 1), row.clip(0, padded.shape[0] - 1)
        return float((padded[row, col] == drawn[::3, ::3]).mean())

    best = min(moves, key=lambda move: (-round(fit(move), 2), abs(move[0]) + abs(move[1])))
    assert fit(best) > 0.97
    return best


def found_at(
    shown: NDArray[np.uint8],
    slide: NDArray[np.uint8],
    scale: float,
    middle: tuple[float, float],
) -> tuple[float, float]:
    """Where on the screen a place of the slide is, by looking for its surroundings there."""
    half = int(min(110 / scale, 400))
    x, y = (int(np.clip(value, half, 2048 - half)) for value in middle)
    part = slide[y - half : y + half, x - half : x + half]
    side = round(2 * half * scale)
    small = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)
    fit = cv2.matchTemplate(shown, small, cv2.TM_CCOEFF_NORMED)
    _, best, _, (left, top) = cv2.minMaxLoc(fit)
    assert best > 0.8
    return left + (middle[0] - x + half) * scale, top + (middle[1] - y + half) * scale


def test_colours_are_those_of_the_file(browser: Any, small: Path, tmp_path: Path) -> None:
    """RGB in JPEG without a word in the stream: a browser guesses YCbCr unless it is told."""
    with opened(browser, shelf_of(tmp_path, [small / "slide.tif"])) as page:
        page.settled()
        at = page.evaluate("() => wsiAi.place()")
        shown = picture(page, "")
        x, y = (round(at["corner"][axis] + 400 * at["scale"]) for axis in ("x", "y"))
        assert np.abs(shown[y, x, :3].astype(int) - ramp(640)[400, 400]).max() < 8


def test_threshold_and_opacity_change_the_heatmap_without_a_request(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    with opened(browser, shelf_of(tmp_path, [small / "out"])) as page:
        page.until("() => wsiAi.shown?.heat")
        page.heat_is_there()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        before = (picture(page, "heat")[..., 3] > 128).sum()
        page.keyboard.press(".")
        page.settled()
        after = (picture(page, "heat")[..., 3] > 128).sum()
        assert 0 < after < before
        assert page.text("#threshold-value") == "0.55"
        page.keyboard.press("]")
        assert page.evaluate("() => document.getElementById('heat').style.opacity") == "0.5"
        page.locator("#threshold").fill("254")
        page.settled()
        assert (picture(page, "heat")[..., 3] > 128).sum() == 0
        page.keyboard.press("h")
        page.settled()
        assert picture(page, "heat").max() == 0
        assert asked == []
        assert page.text("#level") in ("EXPEDITE", "STANDARD")


def test_what_was_not_assessed_is_left_without_tint_and_codes_arrive_exactly(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    with opened(browser, shelf_of(tmp_path, [small / "out"])) as page:
        page.until(
            "() => [...(wsiAi.shown?.heat?.windows.values() ?? [])].some((one) => one.codes)"
        )
        got = page.evaluate("() => Array.from([...wsiAi.shown.heat.windows.values()][0].codes)")
        group: Any = zarr.open_group(next((small / "out").glob("*/*/heatmap.ome.zarr")), mode="r")
        scores = group["0"][0][:]
        wanted = np.where(np.isfinite(scores), 1 + np.rint(254 * np.nan_to_num(scores)), 0)
        assert got == wanted.astype(int).ravel().tolist()
        table = page.evaluate(COLOURS)
        alphas = [(value >> 24) & 255 for value in table]
        assert alphas[0] == 0
        assert min(alphas[1:]) > 0


def test_keys_go_through_regions_and_magnifications_and_the_ruler_measures(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    with opened(browser, shelf_of(tmp_path, [small / "out"])) as page:
        page.settled()
        page.until("() => wsiAi.shown.regions !== null")
        page.keyboard.press("n")
        page.settled()
        assert page.evaluate("() => wsiAi.shown.regions.chosen") == 0
        assert page.locator(".region[aria-selected=true]").count() == 1
        for key, um_per_px in (("4", 1.0), ("5", 0.5)):
            page.keyboard.press(key)
            page.settled()
            scale = page.evaluate("() => wsiAi.place().scale")
            assert 0.5 / scale == pytest.approx(um_per_px, rel=0.01)
        bar = page.evaluate(
            "() => document.getElementById('scale-bar').getBoundingClientRect().width"
        )
        length = float(page.text("#scale-text").split()[0])
        assert length / bar == pytest.approx(0.5, rel=0.03)
        page.keyboard.press("m")
        page.mouse.move(300, 300)
        page.mouse.down()
        page.mouse.move(500, 300, steps=5)
        page.mouse.up()
        length, unit = page.text("#ruler-value").split()
        assert (float(length), unit) == (pytest.approx(100, rel=0.01), "µm")
        page.keyboard.press("Escape")
        assert page.text("#ruler-value") == ""
        page.keyboard.press("m")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
        page.settled()
        assert page.text("#ruler-value") == "0.0 µm"


def test_ten_thousand_regions_are_outlined_within_a_second_and_listed_as_rows_in_sight(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    write_jpeg_slide(own.with_suffix(".tif"))
    folder = analysed(own.with_suffix(".tif"), tmp_path / "out")
    (folder / "findings.geojson").write_text(json.dumps(regions_file(10_000)))
    with opened(browser, shelf_of(tmp_path, [tmp_path / "out"])) as page:
        page.until("() => wsiAi.shown?.regions?.all.length === 10000")
        page.settled()
        rows = page.locator(".region").count()
        assert 0 < rows < 40
        page.locator("#regions").focus()
        page.keyboard.press("End")
        assert page.locator(".region[aria-selected=true]").text_content().startswith("10000")
        took = page.evaluate(OUTLINE_ALL)
        print(f"10,000 regions outlined in {took:.0f} ms")
        assert took < 1000


def test_a_tile_that_cannot_be_read_is_hatched_on_the_screen_and_counted(
    browser: Any, shared_data: Path, tmp_path: Path
) -> None:
    damaged = shared_data / "damaged" / "bad_corrupt_tiles_12_37_60.svs"
    with opened(browser, shelf_of(tmp_path, [damaged])) as page:
        page.until(LOADED)
        page.evaluate("() => viewer.viewport.zoomTo(3, new OpenSeadragon.Point(0.3, 0.2), true)")
        page.settled()
        assert "cannot be read: hatched grey" in page.text("#notice")
        assert not [line for line in page.said if "404" not in line]


def test_a_tile_that_the_browser_refuses_is_hatched_too(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    with opened(browser, shelf_of(tmp_path, [small / "slide.tif"])) as page:
        page.until(LOADED)
        page.route(
            "**/tiles/**", lambda route: route.fulfill(body=b"no", content_type="image/jpeg")
        )
        page.reload()
        page.until("() => wsiAi.shown?.unreadable.size > 0")
        page.settled()
        at = page.evaluate("() => wsiAi.place()")
        shown = picture(page, "")
        x, y = (round(at["corner"][axis] + 320 * at["scale"]) for axis in ("x", "y"))
        assert 140 < shown[y - 40 : y + 40, x - 40 : x + 40, :3].mean() < 200


def test_without_a_spacing_there_is_no_scale_bar_and_the_ruler_counts_pixels(
    browser: Any, shared_data: Path, tmp_path: Path
) -> None:
    with opened(browser, shelf_of(tmp_path, [shared_data / "damaged" / "bad_no_mpp.svs"])) as page:
        page.settled()
        assert page.locator("#scale").is_hidden()
        assert page.locator("[data-magnification]:enabled").count() == 0
        page.keyboard.press("m")
        page.mouse.move(300, 300)
        page.mouse.down()
        page.mouse.move(400, 300, steps=3)
        page.mouse.up()
        assert page.text("#ruler-value").endswith(" px")
        assert "unknown: lengths are in pixels" in page.text("#facts-of-slide")


def test_refused_results_are_named_and_never_drawn(browser: Any, tmp_path: Path) -> None:
    slide = write_deflate_slide(tmp_path / "slide.tif")
    folder = analysed(slide, tmp_path / "out")
    changed(folder / "flag.json", schema_version="9.9")
    with opened(browser, shelf_of(tmp_path, [tmp_path / "out"])) as page:
        page.settled()
        assert "another version of wsi_ai" in page.text("#refused")
        assert page.text("#level") == ""
        assert page.locator("#heat-panel").is_hidden()
        assert picture(page, "heat").max() == 0


def test_hostile_names_stay_text(browser: Any, tmp_path: Path) -> None:
    name = '<img src=x onerror=alert(1)>\u202e"slide.tif'
    path = write_jpeg_slide(tmp_path / name)
    folder = analysed(path, tmp_path / "out")
    flag = json.loads((folder / "flag.json").read_text())
    text = "<script>alert(1)</script>" + "x" * 10_000
    changed(folder / "flag.json", result=flag["result"] | {"explanation": text})
    with opened(browser, shelf_of(tmp_path, [tmp_path / "out"])) as page:
        page.on("dialog", lambda dialog: pytest.fail("a name ran as script"))
        page.settled()
        assert page.text("#name") == name
        assert page.text("#explanation") == text
        assert page.locator("aside img, aside script").count() == 0
        assert page.locator("#explanation").bounding_box()["height"] < 200
        assert page.said == []


def test_another_origin_s_page_reads_nothing_even_in_the_same_browser(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    with served(shelf_of(tmp_path / "a", [small / "out"])) as guard:
        context = browser.new_context()
        page = context.new_page()
        page.goto(guard.address)
        base = guard.address.partition("?")[0]
        Page(page).until("() => wsiAi.shown?.result")
        key = page.evaluate("() => wsiAi.shown.result.key")
        other = context.new_page()
        hello = {"body": "<p>hello</p>", "content_type": "text/html"}
        other.route("http://evil.example/**", lambda route: route.fulfill(**hello))
        other.goto("http://evil.example/")
        assert other.evaluate(READ, f"{base}slides") == "refused"
        assert other.evaluate(SHOW, f"{base}slides/1/results/{key}/0/0/0/0_0.png") == "refused"
        tile = f"{guard.for_other_viewers}/slides/1/iiif/full/64,64/0/default.jpg"
        assert other.evaluate(SHOW, tile) == "refused"
        context.close()


@pytest.mark.parametrize("size", [(1280, 800), (420, 800)])
def test_axe_finds_nothing_serious(
    browser: Any, small: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    with opened(browser, shelf_of(tmp_path, [small / "out"]), *size) as page:
        page.settled()
        page.until("() => wsiAi.shown.regions !== null")
        page.keyboard.press("n")
        serious, kept = examined(page)
        assert serious == []
        assert kept > 10


def test_every_control_is_reached_by_keyboard_and_shows_that_it_is(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    with opened(browser, shelf_of(tmp_path, [small / "out"])) as page:
        page.settled()
        page.until("() => wsiAi.shown.regions !== null")
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate(FOCUSED))
        wanted = {"ruler", "heat-on", "opacity", "threshold", "marks-on", "next", "previous"}
        wanted |= {"regions", "openseadragon-canvas", "SUMMARY"}
        assert wanted <= reached
        assert page.evaluate(OUTLINED) == "solid"


def test_each_model_s_results_are_shown_under_its_own_name(browser: Any, tmp_path: Path) -> None:
    slide = write_jpeg_slide(tmp_path / "slide.tif")
    folder = analysed(slide, tmp_path / "out")
    other = folder.with_name("other-2")
    shutil.copytree(folder, other)
    flag = json.loads((other / "flag.json").read_text())
    said = flag["result"] | {"level": "not_assessed", "explanation": "for a test"}
    changed(other / "flag.json", result=said)
    shutil.rmtree(other / "heatmap.ome.zarr")
    with opened(browser, shelf_of(tmp_path, [tmp_path / "out"])) as page:
        page.settled()
        for name, level in (("other-2", "NOT ASSESSED"), (folder.name, None)):
            page.locator("#models").select_option(label=name)
            assert page.text("#facts").startswith(name)
            assert page.text("#level") == level or level is None
            assert page.locator("#heat-panel").is_hidden() is (level is not None)


def test_an_outside_viewer_opens_the_slide_by_iiif_and_by_deep_zoom(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    """OpenSeadragon as it comes, without our way of taking tiles."""
    with opened(browser, shelf_of(tmp_path, [small / "slide.tif"])) as page:
        page.settled()
        for address in ("slides/1/iiif/info.json", "slides/1/deepzoom.dzi"):
            page.evaluate(ANOTHER, address)
            page.until("() => other.world.getItemAt(0)?.getFullyLoaded()")
            assert page.evaluate("() => other.world.getItemAt(0).source.dimensions.x") == 640
            page.evaluate(TWO_FRAMES)
            theirs = page.evaluate(MIDDLE)
            assert np.abs(np.subtract(theirs[:3], ramp(640)[320, 320])).max() < 8
        assert page.said == []


def test_another_slide_takes_the_place_of_the_first_with_all_that_was_on_it(
    browser: Any, small: Path, tmp_path: Path
) -> None:
    other = write_jpeg_slide(tmp_path / "other.tif", 400)
    with opened(browser, shelf_of(tmp_path, [small / "out", other])) as page:
        page.until("() => wsiAi.shown")
        page.locator("#slides").select_option(label="slide.tif")
        page.until("() => wsiAi.shown?.info.width === 640 && wsiAi.shown.heat")
        page.heat_is_there()
        page.locator("#slides").select_option(label="other.tif")
        page.until("() => wsiAi.shown?.info.width === 400")
        page.settled()
        assert page.text("#explanation") == "No results for this slide."
        assert picture(page, "heat").max() == 0
        assert page.locator("#minimap canvas").count() == 1
        assert page.evaluate(ABOVE_LAYERS)
        assert page.said == []
