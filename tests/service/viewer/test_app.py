"""What the viewer sends: tiles, scores, regions; and what it does not."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest
import simplejpeg
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.service.viewer.parts import (
    TILE,
    analysed,
    changed,
    client_of,
    ramp,
    shelf_of,
    write_deflate_slide,
    write_jpeg_slide,
)
from tests.slides.scanner_files import write_scn
from wsi_ai.cli import app
from wsi_ai.core.geometry import Box, Size
from wsi_ai.service.viewer.app import CSP, viewer
from wsi_ai.service.viewer.cache import TileCache
from wsi_ai.service.viewer.pyramid import StoredLevel, render, served_levels
from wsi_ai.service.viewer.regions import MOST_REGIONS, regions_json
from wsi_ai.service.viewer.scores import ScoreMap, codes
from wsi_ai.service.viewer.tiles import hatch
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing import PaintedSlide


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide, and the results of a stand-in model beside it."""
    folder = tmp_path_factory.mktemp("viewer")
    analysed(write_jpeg_slide(folder / "slide.tif"), folder / "out")
    return folder / "out"


def copied(out: Path, to: Path) -> Path:
    shutil.copytree(out, to / "out")
    shutil.copy(out.parent / "slide.tif", to / "slide.tif")
    return to / "out"


def results_in(out: Path) -> Path:
    (flag,) = out.glob("*/*/flag.json")
    return flag.parent


def test_a_stored_jpeg_tile_is_sent_as_the_file_has_it(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "s.tif")
    client = client_of(shelf_of(tmp_path, [path]))
    key = client.get("/slides/1").json()["key"]
    with open_slide(path) as slide:
        stored = slide.encoded_level(0).encoded(2, 3)  # type: ignore[attr-defined]
    answer = client.get(f"/slides/1/tiles/{key}/0/2_3")
    assert answer.content == stored
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("jpeg", [True, False])
def test_every_level_shows_the_slide_s_own_pixels_in_their_place(
    tmp_path: Path, *, jpeg: bool
) -> None:
    write = write_jpeg_slide if jpeg else write_deflate_slide
    path = write(tmp_path / "s.tif", 1300)
    with open_slide(path) as slide:
        for level in served_levels(slide, TileCache(tmp_path / "tiles")):
            picture = level.picture(0, 0)
            shown = simplejpeg.decode_jpeg(picture.content)[:128, :128]
            side = round(128 * level.downsample)
            wanted = cv2.resize(slide.read(0, 0, 0, side, side), (128, 128), interpolation=3)
            assert np.abs(shown.astype(int) - wanted).mean() < 4
            assert round(level.size.width * level.downsample) == pytest.approx(
                1300, abs=level.downsample
            )
        assert max(level.size.width, level.size.height) <= 512


def test_a_file_whose_levels_are_far_apart_gets_those_between(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "s.tif", 2048, (1, 16))
    with open_slide(path) as slide:
        levels = served_levels(slide, TileCache(tmp_path / "tiles"))
        assert [level.downsample for level in levels] == [1, 2, 4, 16]
        assert [isinstance(level, StoredLevel) for level in levels] == [True, False, False, True]


def test_a_level_is_shown_at_its_own_ratio_however_odd(tmp_path: Path) -> None:
    """slim#305: a ratio of 57.7 was rounded to 58, and what was drawn on it drifted."""
    slide = PaintedSlide(Size(5770, 5770), downsamples=(1.0, 57.7))
    levels = served_levels(slide, TileCache(tmp_path / "tiles"))
    assert 57.7 in [level.downsample for level in levels]


def test_what_was_made_once_is_kept_and_not_read_again(tmp_path: Path) -> None:
    cache = TileCache(tmp_path / "tiles")
    whole = PaintedSlide(Size(2048, 2048), downsamples=(1.0,))
    first = served_levels(whole, cache)[-1].picture(0, 0)
    broken = PaintedSlide(Size(2048, 2048), downsamples=(1.0,), broken=(Box(0, 0, 2048, 2048),))
    assert served_levels(broken, cache)[-1].picture(0, 0) == first


@given(sizes=st.lists(st.integers(10, 400), max_size=30))
def test_the_cache_never_outgrows_its_budget(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = TileCache(folder, 1000)
    for n, size in enumerate(sizes):
        data = b"\xff\xd8" + bytes(size) + b"\xff\xd9"
        cache.put("a" * 64, f"{n}.jpg", data)
        assert cache.get("a" * 64, f"{n}.jpg") == data
        assert sum(path.stat().st_size for path in folder.glob("*/*")) <= 1000


def test_a_cut_tile_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    cache = TileCache(tmp_path)
    cache.put("a" * 64, "1.jpg", b"\xff\xd8 half")
    assert cache.get("a" * 64, "1.jpg") is None
    assert tmp_path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("how", ["cut", "noise", "empty"])
def test_an_unreadable_tile_is_hatched_grey_with_404_and_never_white(
    tmp_path: Path, how: str
) -> None:
    path = write_jpeg_slide(tmp_path / "s.tif")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        at, count = page.dataoffsets[6], page.databytecounts[6]  # type: ignore[union-attr]
    noise = np.random.default_rng(1).integers(0, 256, count, np.uint8).tobytes()
    bad = {"cut": bytes(count // 2), "noise": noise, "empty": bytes(count)}[how]
    with path.open("r+b") as file:
        file.seek(at + count - len(bad))
        file.write(bad)
    client = client_of(shelf_of(tmp_path, [path]))
    key = client.get("/slides/1").json()["key"]
    answer = client.get(f"/slides/1/tiles/{key}/0/1_1")
    assert answer.status_code == 404
    shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert (shown == hatch(TILE, TILE)).all()
    assert "immutable" not in answer.headers["cache-control"]
    made = client.get(f"/slides/1/tiles/{key}/1/0_0")
    assert made.status_code == 404
    half = simplejpeg.decode_jpeg(made.content)
    assert 130 < half[68:124, 68:124].mean() < 200
    assert half[:60, :60, 2].mean() == pytest.approx(120, abs=4)


def test_a_slide_that_begins_inside_the_glass_is_shown_where_it_lies(tmp_path: Path) -> None:
    """Its stored tiles begin elsewhere than the slide, so they are not passed on."""
    pixels = np.full((256, 384, 3), (200, 80, 140), np.uint8)
    path = tmp_path / "s.scn"
    write_scn(path, [pixels])
    with open_slide(path) as slide:
        level = served_levels(slide, TileCache(tmp_path / "tiles"))[0]
        shown = simplejpeg.decode_jpeg(level.picture(0, 0).content)
        assert shown[:190, :290].min() > 240
        middle = slide.read(0, 400, 300, 1, 1)[0, 0].astype(int)
        assert middle.max() < 225
        assert np.abs(shown[210:440, 310:500].astype(int) - middle).mean() < 6


def test_scores_arrive_as_codes_and_lie_on_the_whole_slide(out: Path, tmp_path: Path) -> None:
    client = client_of(shelf_of(tmp_path, [out]))
    info = client.get("/slides/1").json()
    (result,) = info["results"]
    (scores,) = result["maps"]
    assert scores["channels"] == ["red"]
    assert scores["cell_px"] == [64, 64]
    png = client.get(f"/slides/1/results/{result['key']}/0/0/0/0_0.png").content
    shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    group = zarr.open_group(results_in(out) / "heatmap.ome.zarr", mode="r")
    assert (shown == codes(np.asarray(group["0"][0]))).all()  # type: ignore[index]
    assert shown.shape[1] * 64 >= info["width"]


@given(st.floats(0, 1, width=32) | st.just(float("nan")))
def test_a_code_is_its_score_to_a_five_hundredth_and_zero_where_there_is_none(score: float) -> None:
    (code,) = codes(np.array([score], np.float32)).tolist()
    assert (code == 0) == np.isnan(score)
    if code:
        assert abs((code - 1) / 254 - score) <= 1 / 508 + 1e-6


def test_the_slide_opens_without_results(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "s.tif")
    assert client_of(shelf_of(tmp_path, [path])).get("/slides/1").json()["results"] == []


def test_results_of_other_bytes_are_refused_with_the_reason(out: Path, tmp_path: Path) -> None:
    own = copied(out, tmp_path)
    write_jpeg_slide(tmp_path / "slide.tif", 656)
    client = client_of(shelf_of(tmp_path, [own]))
    (result,) = client.get("/slides/1").json()["results"]
    assert "changed since the run" in result["refused"]
    assert "maps" not in result
    assert client.get("/slides/1/results/0/0/0/0/0_0.png").status_code == 410
    assert client.get("/slides/1/results//regions").status_code in (404, 410)


def test_a_slide_that_changes_while_it_is_looked_at_loses_its_results(
    out: Path, tmp_path: Path
) -> None:
    own = copied(out, tmp_path)
    shelf = shelf_of(tmp_path, [own])
    client = client_of(shelf)
    before = client.get("/slides/1").json()
    assert before["results"][0]["refused"] == ""
    write_jpeg_slide(tmp_path / "slide.tif", 656)
    for held in shelf._held.values():
        held.entry._looked = 0
    assert client.get(f"/slides/1/tiles/{before['key']}/0/0_0").status_code == 410
    assert client.get("/slides/1").json()["results"][0]["refused"] != ""


def test_results_that_a_run_replaces_while_they_are_looked_at_are_not_mixed_with_the_old(
    out: Path, tmp_path: Path
) -> None:
    own = copied(out, tmp_path)
    client = client_of(shelf_of(tmp_path, [own]))
    (before,) = client.get("/slides/1").json()["results"]
    flag = results_in(own) / "flag.json"
    changed(flag, revision=2)
    address = f"/slides/1/results/{before['key']}"
    assert client.get(f"{address}/0/0/0/0_0.png").status_code == 410
    assert client.get(f"{address}/regions").status_code == 410
    (after,) = client.get("/slides/1").json()["results"]
    assert after["key"] != before["key"]
    assert client.get(f"/slides/1/results/{after['key']}/regions").status_code == 200


def test_a_slide_that_moved_is_said_to_be_missing_and_found_when_named(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copied(out, tmp_path)
    monkeypatch.chdir(own)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "slide.tif").rename(moved / "slide.tif")
    lost = client_of(shelf_of(tmp_path, [own]))
    assert lost.get("/slides").json()["slides"][0]["there"] is False
    assert "was not found" in lost.get("/slides/1").text
    named = client_of(shelf_of(tmp_path, [own], [moved]))
    assert named.get("/slides/1").json()["results"][0]["refused"] == ""


def test_a_renamed_slide_is_known_by_its_bytes(out: Path, tmp_path: Path) -> None:
    own = copied(out, tmp_path)
    renamed = (tmp_path / "slide.tif").rename(tmp_path / "other.tif")
    client = client_of(shelf_of(tmp_path, [own, renamed]))
    found = {one["name"]: one["id"] for one in client.get("/slides").json()["slides"]}
    info = client.get(f"/slides/{found['other.tif']}").json()
    assert [one["refused"] for one in info["results"]] == [""]


@pytest.mark.parametrize(
    "damage",
    ["no flag", "no heatmap metadata", "newer", "other size", "no JSON", "text for a number"],
)
def test_an_incomplete_or_newer_run_is_refused_in_words(
    out: Path, tmp_path: Path, damage: str
) -> None:
    own = copied(out, tmp_path)
    folder = results_in(own)
    flag = json.loads((folder / "flag.json").read_text())
    if damage == "no flag":
        (folder / "flag.json").unlink()
    elif damage == "no heatmap metadata":
        (folder / "heatmap.ome.zarr" / "zarr.json").write_text("{}")
    elif damage == "newer":
        changed(folder / "flag.json", schema_version="2.0")
    elif damage == "other size":
        changed(folder / "flag.json", slide=flag["slide"] | {"width": 641})
    elif damage == "no JSON":
        (folder / "run.json").write_text('{"slide": NaN')
    else:
        threshold = flag["result"]["threshold"] | {"value": "high"}
        changed(folder / "flag.json", result=flag["result"] | {"threshold": threshold})
    (result,) = client_of(shelf_of(tmp_path, [own])).get("/slides/1").json()["results"]
    wanted = "another version" if damage == "newer" else "incomplete or damaged"
    assert wanted in result["refused"]


def test_a_heatmap_that_does_not_cover_the_slide_is_refused(out: Path, tmp_path: Path) -> None:
    """LazySlide#277: a grid was drawn a tile away from its place."""
    own = copied(out, tmp_path)
    path = results_in(own) / "heatmap.ome.zarr" / "zarr.json"
    said = json.loads(path.read_text())
    sets = said["attributes"]["ome"]["multiscales"][0]["datasets"]
    for one in sets:
        one["coordinateTransformations"][0]["scale"][1:] = [64.0, 64.0]
    path.write_text(json.dumps(said))
    (result,) = client_of(shelf_of(tmp_path, [own])).get("/slides/1").json()["results"]
    assert "incomplete or damaged" in result["refused"]


def test_regions_are_counted_from_the_corner_of_the_glass(tmp_path: Path) -> None:
    path = tmp_path / "f.geojson"
    path.write_text(json.dumps(regions_file(2, origin_px=[300, 200])))
    found = json.loads(regions_json(path))
    assert found["total"] == 2
    assert found["regions"][0]["rings"] == [[310, 210, 320, 210, 320, 220]]


def test_a_hundred_thousand_regions_are_cut_to_the_strongest_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "f.geojson"
    path.write_text(json.dumps(regions_file(MOST_REGIONS + 7)))
    found = json.loads(regions_json(path))
    assert (found["total"], len(found["regions"])) == (MOST_REGIONS + 7, MOST_REGIONS)
    assert found["regions"][0]["peak"] >= found["regions"][-1]["peak"]


def regions_file(count: int, origin_px: tuple[int, int] | list[int] = (0, 0)) -> dict[str, object]:
    ring = [[10, 10], [20, 10], [20, 20], [10, 10]]
    measured = {"Mean score": 0.5, "Area mm^2": 0.1}
    return {
        "type": "FeatureCollection",
        "origin_px": list(origin_px),
        "features": [
            {
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"measurements": measured | {"Peak score": n / count}},
            }
            for n in range(count)
        ],
    }


@pytest.mark.parametrize("text", ["[]", "{}", '{"features": [{}]}', '{"features": 3}', "[" * 9999])
def test_a_file_of_regions_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.geojson"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        regions_json(path)


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2f..%2ferrors.py",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/openseadragon.sha256",
        "/slides/..%2f1",
        "/slides/1/associated/..%2f..%2fx",
        "/slides/1/tiles/0000000000000000/0/0_0",
        "/slides/1/tiles/KEY/-1/0_0",
        "/slides/1/tiles/KEY/9/0_0",
        "/slides/1/tiles/KEY/0/99_0",
        "/slides/1/results/RESULT/0/0/0/9_0.png",
        "/slides/1/results/RESULT/0/7/0/0_0.png",
        "/slides/1/results/5/regions",
        "/slides/2",
        "/docs",
    ],
)
def test_what_is_not_there_is_not_found(out: Path, tmp_path: Path, path: str) -> None:
    client = client_of(shelf_of(tmp_path, [out]))
    info = client.get("/slides/1").json()
    own = path.replace("KEY", info["key"]).replace("RESULT", info["results"][0]["key"])
    answer = client.get(own)
    assert answer.status_code in (404, 410)
    assert "Traceback" not in answer.text


@settings(max_examples=25)
@given(st.text(max_size=40))
def test_no_address_makes_the_app_fail(out: Path, text: str) -> None:
    client = client_of(shelf_of(out.parent, [out]))
    for base in ("/static/", "/slides/", "/slides/1/iiif/", "/slides/1/results/"):
        assert client.get(base + quote(text, safe="")).status_code < 500


def test_every_answer_says_where_the_page_may_load_from(out: Path, tmp_path: Path) -> None:
    client = client_of(shelf_of(tmp_path, [out]))
    for path in ("/", "/static/viewer.js", "/slides", "/slides/1", "/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == CSP
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
    assert "unsafe" not in CSP
    page = client.get("/").text
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page) == []


def test_label_and_macro_are_shown_where_that_is_asked_for_only(tmp_path: Path, cmu: Path) -> None:
    hidden = client_of(shelf_of(tmp_path, [cmu]))
    assert hidden.get("/slides/1").json()["associated"] == []
    assert hidden.get("/slides/1/associated/label").status_code == 404
    shown = client_of(shelf_of(tmp_path, [cmu]), with_label=True)
    assert shown.get("/slides/1/associated/label").content.startswith(b"\x89PNG")
    assert shown.get("/slides/1/associated/thumbnail").status_code == 404


def test_a_service_s_own_rights_decide_who_sees_a_slide(out: Path, tmp_path: Path) -> None:
    shelf = shelf_of(tmp_path, [out])
    client = client_of(shelf, may_see=lambda request, slide: slide is None)
    assert client.get("/slides").json()["slides"] == []
    for path in ("", "/results/0/regions", "/iiif/info.json", "/deepzoom.dzi", "/associated/label"):
        assert client.get(f"/slides/1{path}").status_code == 404


def test_mounted_elsewhere_it_names_itself_by_its_own_address(out: Path, tmp_path: Path) -> None:
    mounted = Starlette(routes=[Mount("/look", viewer(shelf_of(tmp_path, [out])))])
    client = TestClient(mounted)
    said = client.get("/look/slides/1/iiif/info.json").json()
    assert said["id"] == "http://testserver/look/slides/1/iiif"
    assert client.get("/look/").status_code == client.get("/look/static/viewer.js").status_code


def test_iiif_tiles_and_deep_zoom_show_the_same_slide(out: Path, tmp_path: Path) -> None:
    client = client_of(shelf_of(tmp_path, [out]))
    said = client.get("/slides/1/iiif/info.json").json()
    assert (said["profile"], said["width"], said["tiles"][0]["scaleFactors"]) == (
        "level0",
        640,
        [1, 2],
    )
    whole = simplejpeg.decode_jpeg(client.get("/slides/1/iiif/full/320,320/0/default.jpg").content)
    dzi = client.get("/slides/1/deepzoom_files/9/0_0.jpg").content
    assert np.abs(whole.astype(int) - simplejpeg.decode_jpeg(dzi)).mean() < 1
    edge = client.get("/slides/1/iiif/512,512,512,512/64,64/0/default.jpg").content
    wanted = ramp(640)[576, 576]
    assert np.abs(simplejpeg.decode_jpeg(edge)[32, 32].astype(int) - wanted).max() < 8


@pytest.mark.parametrize(
    ("region", "size"),
    [
        ("0,0,0,0", "1,1"), ("9999,0,5,5", "5,5"), ("-1,0,5,5", "5,5"), ("full", "99999,"),
        ("full", "0,0"), ("full", "2000,2000"), ("square", "max"), ("0,0,5,5", "6,6"),
    ],
)  # fmt: skip
def test_iiif_refuses_what_it_did_not_offer(
    out: Path, tmp_path: Path, region: str, size: str
) -> None:
    client = client_of(shelf_of(tmp_path, [out]))
    assert client.get(f"/slides/1/iiif/{region}/{size}/0/default.jpg").status_code == 400


def test_a_view_of_any_scale_is_hatched_where_it_cannot_be_read(tmp_path: Path) -> None:
    slide = PaintedSlide(Size(2048, 2048), broken=(Box(0, 0, 1024, 1024),))
    levels = served_levels(slide, TileCache(tmp_path))
    shown = render(levels, Box(0, 0, 2048, 2048), Size(256, 256))
    assert 130 < shown[20:100, 20:100].mean() < 200


def test_hostile_names_go_to_the_page_as_data_only(tmp_path: Path) -> None:
    name = '<img src=x onerror=alert(1)>"\u202eslide.tif'
    path = write_jpeg_slide(tmp_path / name)
    client = client_of(shelf_of(tmp_path, [path]))
    answer = client.get("/slides")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["slides"][0]["name"] == name
    assert name not in client.get("/").text


def test_the_windows_of_a_large_map_put_together_are_the_map(tmp_path: Path) -> None:
    scores = np.random.default_rng(3).integers(0, 256, (2, 2500, 1100), np.uint8)
    level = zarr.create_array(tmp_path / "0", shape=scores.shape, dtype="u1", chunks=(1, 256, 256))
    level[:] = scores
    large = ScoreMap("segmentation", (level,), ("a", "b"), 0, (2.0, 2.0))
    assert large.as_json()["levels"][0]["window_px"] == 1024
    got = np.zeros(scores.shape[1:], np.uint8)
    for row in range(3):
        for col in range(2):
            png = np.frombuffer(large.png(1, 0, col, row), np.uint8)
            part = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
            top, left = row * 1024, col * 1024
            got[top : top + part.shape[0], left : left + part.shape[1]] = part
    assert (got == scores[1]).all()
    with pytest.raises(LookupError):
        large.png(1, 0, 2, 0)


def test_what_was_hatched_is_made_anew_once_it_can_be_read(tmp_path: Path) -> None:
    """A share that was away for a moment leaves no hatch behind."""
    cache = TileCache(tmp_path)
    broken = PaintedSlide(Size(2048, 2048), downsamples=(1.0,), broken=(Box(0, 0, 500, 500),))
    hatched = served_levels(broken, cache)[-1].picture(0, 0)
    assert not hatched.readable
    whole = PaintedSlide(Size(2048, 2048), downsamples=(1.0,))
    again = served_levels(whole, cache)[-1].picture(0, 0)
    assert again.readable
    assert again.content != hatched.content


def test_a_name_that_is_no_text_is_written_out(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "s.tif")
    odd = path.rename(path.with_name(b"caf\xe9.tif".decode("utf-8", "surrogateescape")))
    analysed(odd, tmp_path / "out")
    client = client_of(shelf_of(tmp_path, [tmp_path / "out"]))
    assert [one["name"] for one in client.get("/slides").json()["slides"]] == [r"caf\udce9.tif"]
    assert client.get("/slides/1").json()["results"][0]["refused"] == ""


def test_a_place_that_is_nothing_is_said_in_a_line(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        said = CliRunner().invoke(app, ["view", str(place)])
        assert said.exit_code == 2
        assert said.output.startswith("wsi-ai: ")
        assert said.output.count("\n") == 1
