"""A film in pictures: two people of two trusts at one slide.

python -m tests.service.film FOLDER
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.browser import chromium
from tests.conftest import DEMO_MODEL, draw_once
from tests.service.rooms.together import ALL_SENT, Person, Service, service
from wsi_ai.demo.spec import SampleSpec
from wsi_ai.run.run_slides import run_slides

_SIZE = (1440, 900)
_SETTLED = """() => viewer.world.getItemAt(0).getFullyLoaded()
  && viewer.viewport.getZoom(true) === viewer.viewport.getZoom(false)"""
_LOOK = """([x, y, side]) => { const width = wsiAi.shown.info.width;
  viewer.viewport.fitBounds(new OpenSeadragon.Rect(
    (x - side / 2) / width, (y - side / 2) / width, side / width, side / width)); }"""
_ON_SCREEN = """([x, y]) => { const {corner, scale} = wsiAi.place();
  const box = document.getElementById('stage').getBoundingClientRect();
  return [box.x + x * scale + corner.x, box.y + y * scale + corner.y]; }"""
_REDRAW = """([id, ring, text]) => room.notes.write(id, {kind: "polygon", text,
  geometry: {type: "Polygon", coordinates: [[...ring, ring[0]]]}})"""
_FIRST_POLYGON = "() => room.panel.standing.find((one) => one.body.kind === 'polygon')"


class Film:
    """Pictures by number, of one screen or of both side by side."""

    def __init__(self, folder: Path, amy: Person, ben: Person) -> None:
        self.folder, self.amy, self.ben, self.count = folder, amy, ben, 0

    def both(self, name: str) -> None:
        left, right = (self._picture(one) for one in (self.amy, self.ben))
        gap = np.full((left.shape[0], 24, 3), 255, np.uint8)
        self._write(name, np.concatenate([left, gap, right], axis=1))

    def one(self, person: Person, name: str) -> None:
        self._write(name, self._picture(person))

    def _picture(self, person: Person) -> Any:
        person.until(_SETTLED)
        person.page.wait_for_timeout(150)
        data = np.frombuffer(person.page.screenshot(), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    def _write(self, name: str, picture: Any) -> None:
        self.count += 1
        path = self.folder / f"{self.count:02}-{name}.png"
        cv2.imwrite(str(path), picture)
        print(path.name)


def mouse(person: Person, place: tuple[float, float], steps: int = 1) -> None:
    """To a place of the slide."""
    person.page.mouse.move(*person.run(_ON_SCREEN, list(place)), steps=steps)


def outlined(person: Person, ring: list[tuple[float, float]], text: str) -> None:
    person.page.click("[data-tool=polygon]")
    for place in ring:
        mouse(person, place)
        person.page.mouse.down()
        person.page.mouse.up()
        person.page.wait_for_timeout(350)
    person.page.keyboard.press("Enter")
    person.page.fill("#card-input", text)


def around(x: float, y: float, radius: float, corners: int = 9) -> list[tuple[float, float]]:
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    wave = 1 + 0.18 * np.sin(3 * turn)
    return [(float(x + radius * w * np.cos(t)), float(y + radius * w * np.sin(t)))
            for t, w in zip(turn, wave, strict=True)]  # fmt: skip


def play(film: Film, at: Service, spot: tuple[float, float]) -> None:
    amy, ben, (x, y) = film.amy, film.ben, spot
    film.one(amy, "first-look-without-the-heatmap")
    amy.run(_LOOK, [x, y, 1500])
    amy.until(_SETTLED)
    mouse(amy, (x, y), 8)
    ben.until("() => room.people.others[0]?.at")
    film.both("amys-cursor-is-seen-by-ben")
    ben.page.click("#people button")
    amy.run(_LOOK, [x, y, 900])
    amy.until(_SETTLED)
    mouse(amy, (x + 60, y - 40), 6)
    film.both("ben-follows-amy")
    amy.page.keyboard.down("x")
    for n in range(24):
        turn = n / 24 * 2 * np.pi
        mouse(amy, (x + 190 * np.cos(turn), y + 150 * np.sin(turn)))
        amy.page.wait_for_timeout(45)
    film.one(ben, "amy-points-with-a-trail")
    amy.page.keyboard.up("x")
    ben.page.click("#stop-following")
    outlined(amy, around(x, y, 210), "Is this the deepest front? 4 mitoses in this field.")
    film.one(amy, "amy-writes-a-note")
    amy.page.click("#card-save")
    ben.run(_LOOK, [x, y, 1100])
    ben.draw("ruler", (0.42, 0.75), (0.62, 0.75), text="Margin to the fold")
    ben.draw("point", (0.66, 0.3), text="Necrosis, not counted")
    for one in (amy, ben):
        one.until("() => room.notes.log.size === 3")
        one.until(ALL_SENT)
    film.both("both-annotate")
    clash(film, x, y)
    amy.page.click("#invite")
    amy.page.fill("#share-to", "RZZ")
    amy.page.click("#share-form button[type=submit]")
    amy.until("() => document.querySelectorAll('#shares li').length")
    film.one(amy, "amy-invites-a-third-trust")
    amy.page.click("#share-close")
    amy.page.keyboard.press("h")
    amy.page.keyboard.press("n")
    film.one(amy, "the-heatmap-when-asked-for")
    at.check()


def clash(film: Film, x: float, y: float) -> None:
    amy, ben = film.amy, film.ben
    note = amy.run(_FIRST_POLYGON)["id"]
    ben.context.set_offline(True)
    ben.until("() => room.live.state === 'away'")
    wider = [list(place) for place in around(x + 30, y + 10, 265)]
    tighter = [list(place) for place in around(x - 40, y - 30, 150)]
    ben.run(_REDRAW, [note, wider, "Wider: the rim belongs to it."])
    film.one(ben, "ben-is-cut-off-and-goes-on")
    amy.run(_REDRAW, [note, tighter, "Only the solid part. 4 mitoses."])
    amy.until(ALL_SENT)
    ben.context.set_offline(False)
    ben.until("() => document.getElementById('conflict').open")
    ben.page.wait_for_timeout(800)
    film.one(ben, "two-versions-of-one-note")
    ben.page.click("#keep-both")
    for one in (amy, ben):
        one.until("() => room.notes.log.size === 4")
        one.until(ALL_SENT)
    film.both("both-are-kept")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix="wsi-ai-film-"))
    slide = draw_once(aside / "samples", SampleSpec(size_px=4096, seed=31, tumour=True))
    (outcome,) = run_slides([slide], DEMO_MODEL, aside / "out")
    assert outcome.folder is not None
    with service(aside, str(aside / "s.db"), slide, outcome.folder) as at, chromium() as browser:
        amy, ben = Person(browser, at, "amy", _SIZE), Person(browser, at, "ben", _SIZE)
        amy.open()
        ben.open()
        box = amy.until("() => wsiAi.shown.regions?.all[0]?.box")
        spot = (box["left"] + box["right"]) / 2, (box["top"] + box["bottom"]) / 2
        play(Film(folder, amy, ben), at, spot)
        assert amy.said == ben.said == []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
