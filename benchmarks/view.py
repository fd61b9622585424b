"""How fast the viewer's tiles and its page are: one JSON line.

    python benchmarks/view.py SLIDE [OUT]

With Chromium at /usr/bin/chromium, the page too: until the slide is whole on the screen.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from wsi_ai.service.viewer.cache import TileCache
from wsi_ai.service.viewer.guard import Guard
from wsi_ai.service.viewer.places import entries_of
from wsi_ai.service.viewer.pyramid import StoredLevel, served_levels
from wsi_ai.service.viewer.serve import bound, server_of
from wsi_ai.service.viewer.shelf import Shelf
from wsi_ai.slides.registry import open_slide

PARALLEL, MOST = 4, 2000
WHOLE = """() => Boolean(window.wsiAi?.shown && window.viewer?.world.getItemCount()
  && viewer.world.getItemAt(0).getFullyLoaded())"""


@contextlib.contextmanager
def served(shelf: Shelf) -> Iterator[Guard]:
    with bound(0) as listening:
        guard, server = server_of(shelf, listening)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield guard
        finally:
            server.should_exit = True
            thread.join()


def tiles_of(info: dict[str, Any]) -> list[str]:
    level = info["levels"][0]
    cols, rows = (-(-level[side] // level["tile"][n]) for n, side in enumerate(("width", "height")))
    places = [(col, row) for row in range(rows) for col in range(cols)]
    chosen = np.random.default_rng(1).permutation(len(places))[:MOST]
    return [f"/slides/1/tiles/{info['key']}/0/{places[n][0]}_{places[n][1]}" for n in chosen]


def over_http(guard: Guard) -> dict[str, float]:
    """Four lines at once; the client is in the same process and takes its share."""
    to = urlsplit(guard.for_other_viewers)
    local = threading.local()

    def get(path: str) -> tuple[bytes, float]:
        if not hasattr(local, "line"):
            local.line = http.client.HTTPConnection(to.hostname or "", to.port)
        start = time.perf_counter()
        local.line.request("GET", to.path + path)
        content = local.line.getresponse().read()
        return content, (time.perf_counter() - start) * 1000

    info = json.loads(get("/slides/1")[0])
    paths = tiles_of(info)
    start, busy = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(PARALLEL) as pool:
        took = [ms for _, ms in pool.map(get, paths)]
    wall, busy = time.perf_counter() - start, time.process_time() - busy
    p50, p95 = np.percentile(took, (50, 95))
    return {
        "tiles": len(paths),
        "tile_ms_p50": round(p50, 2),
        "tile_ms_p95": round(p95, 2),
        "tiles_per_s": round(len(paths) / wall),
        "tiles_per_core_s": round(len(paths) / busy),
    }


def without_http(path: Path, cache: Path) -> dict[str, float]:
    with open_slide(path) as slide:
        level = served_levels(slide, TileCache(cache))[0]
        cols, rows = (
            -(-level.size.width // level.tile.width),
            -(-level.size.height // level.tile.height),
        )
        places = [(col, row) for row in range(rows) for col in range(cols)][:MOST]
        rates = []
        for _ in range(2):
            start = time.process_time()
            for col, row in places:
                level.picture(col, row)
            rates.append(round(len(places) / (time.process_time() - start)))
    passed = isinstance(level, StoredLevel)
    return {"passed_through": passed, "first_per_core_s": rates[0], "again_per_core_s": rates[1]}


def in_chromium(guard: Guard) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        start = time.perf_counter()
        page.goto(guard.address)
        while not page.evaluate(WHOLE):
            time.sleep(0.01)
        whole = time.perf_counter() - start
        paint = page.evaluate(
            "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        )
        browser.close()
    return {"first_paint_ms": round(paint), "slide_whole_ms": round(whole * 1000)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("slide", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        places = [given.slide, *([given.out] if given.out else [])]
        entries, folders = entries_of(places, [])
        named = {str(n): entry for n, entry in enumerate(entries, 1)}
        shelf = Shelf(named, TileCache(Path(cache) / "a"), open_slide, tuple(folders))
        found: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count()}
        found["load"] = round(os.getloadavg()[0], 1)
        found["tiles"] = without_http(given.slide, Path(cache) / "b")
        with served(shelf) as guard:
            if Path("/usr/bin/chromium").exists():
                found["page"] = in_chromium(guard)
            found["http"] = over_http(guard)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
