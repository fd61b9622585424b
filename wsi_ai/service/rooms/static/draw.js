/** Tools that draw a note, by mouse, pen or keys, and move the corners of one. */

import {bodyOf, handleAt, moved, paint} from "./shapes.js";

const KEYS = {d: "point", r: "rectangle", g: "polygon", l: "ruler"};
const CORNERS = {point: 1, rectangle: 2, ruler: 2, polygon: Infinity};
const CLOSE_PX = 10;
const HINTS = {
  point: "Click a place, or Space for the middle of the view.",
  rectangle: "Drag from corner to corner, or Space at two corners.",
  ruler: "Drag from end to end, or Space at both ends.",
  polygon: "Click each corner; double-click or Enter ends, ⌫ takes one back.",
};

export class Draw {
  /**
   * ``drawn(body, noteId)`` gets what was drawn; ``noteId`` where a note is drawn again.
   * ``reshaped(noteId, body, base)`` gets a note whose corner was moved.
   */
  constructor({view, buttons, hint, drawn, reshaped, ended}) {
    Object.assign(this, {view, buttons, hint, drawn, reshaped, ended});
    Object.assign(this, {kind: null, places: [], hover: null, again: null, chosen: null, grabbed: null, allowed: false});
    for (const button of buttons) button.addEventListener("click", () => this.take(button.dataset.tool === this.kind ? null : button.dataset.tool));
  }

  get busy() { return Boolean(this.kind || this.grabbed); }

  take(kind, again = null) {
    if (kind && !this.allowed) return;
    Object.assign(this, {kind, places: [], hover: null, again, grabbed: null});
    if (kind) this.view.endRuler();
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.tool === kind));
    this.hint.textContent = kind ? HINTS[kind] : "";
    if (!kind) setTimeout(() => this.ended());
    document.getElementById("stage").classList.toggle("drawing", Boolean(kind));
    document.getElementById("cross").hidden = !kind;
    this.view.redraw();
  }

  attach(osd) {
    osd.addHandler("canvas-press", (event) => this.press(event));
    osd.addHandler("canvas-drag", (event) => this.drag(event));
    osd.addHandler("canvas-drag-end", (event) => { event.preventDefaultAction ||= this.moving; });
    osd.addHandler("canvas-release", (event) => this.release(event));
    osd.addHandler("canvas-click", (event) => this.click(event));
    osd.addHandler("canvas-double-click", (event) => {
      if (!this.kind) return;
      event.preventDefaultAction = true;
      if (this.kind === "polygon") this.finish();
    });
  }

  at(event) {
    const {x, y} = this.view.pointAt(event.position);
    return [x, y];
  }

  press(event) {
    const place = this.at(event);
    this.moving = false;  // what was drawn does not swing on as the slide does
    if (this.kind === "rectangle" || this.kind === "ruler") this.pressed = place;
    else if (!this.kind && this.chosen && this.allowed) {
      const number = handleAt(this.chosen.body, place, this.view.place().px);
      this.grabbed = number < 0 ? null : {number, body: this.chosen.body, id: this.chosen.id, base: this.chosen.base};
    }
  }

  drag(event) {
    this.moving = Boolean(this.grabbed || this.pressed);
    if (this.grabbed) {
      event.preventDefaultAction = true;
      this.grabbed.body = moved(this.grabbed.body, this.grabbed.number, this.at(event)) ?? this.grabbed.body;
      this.view.redraw();
    } else if (this.pressed) {
      event.preventDefaultAction = true;
      this.places = [this.pressed];
      this.hover = this.at(event);
      this.dragged = true;
      this.view.redraw();
    }
  }

  release(event) {
    if (this.grabbed) {
      const {body, id, base} = this.grabbed;
      this.grabbed = null;
      if (JSON.stringify(body) !== JSON.stringify(this.chosen?.body)) this.reshaped(id, body, base);
    } else if (this.dragged) {
      this.places.push(this.at(event));
      this.finish();
    }
    this.pressed = this.dragged = null;
  }

  click(event) {
    if (!this.kind || !event.quick) return;
    event.preventDefaultAction = true;
    this.add(this.at(event));
  }

  /** One corner more; close to the first, or the last that there may be, it ends. */
  add(place) {
    const near = CLOSE_PX * this.view.place().px;
    const isNear = (one) => one && Math.hypot(one[0] - place[0], one[1] - place[1]) < near;
    if (this.kind === "polygon" && this.places.length > 2 && isNear(this.places[0])) { this.finish(); return; }
    if (this.kind === "polygon" && isNear(this.places.at(-1))) return;
    this.places.push(place);
    if (this.places.length >= CORNERS[this.kind]) this.finish();
    this.view.redraw();
  }

  finish() {
    const body = bodyOf(this.kind, this.places, ""), again = this.again;
    if (!body) { this.hint.textContent = `That is no ${this.kind} yet. ${HINTS[this.kind]}`; return; }
    this.take(null);
    this.drawn(body, again);
  }

  /** Returns whether the key was its own. */
  key(event) {
    const middle = () => {
      const {size} = this.view.place();
      return this.at({position: {x: size.x / 2, y: size.y / 2}});
    };
    if (Object.hasOwn(KEYS, event.key)) this.take(this.kind === KEYS[event.key] ? null : KEYS[event.key]);
    else if (!this.kind) return false;
    else if (event.key === "Escape") this.take(null);
    else if (event.key === " " && !event.target.matches("button, summary, a")) this.add(middle());
    else if (event.key === "Enter" && this.kind === "polygon" && !event.target.matches("button, summary, a")) this.finish();
    else if (event.key === "Backspace") this.places.pop();
    else return false;
    this.view.redraw();
    return true;
  }

  hovered(place) {
    if (!this.kind) return;
    this.hover = place;
    this.view.redraw();
  }

  /** What is being drawn, as far as it goes. */
  paint(pen, px, colour) {
    if (this.grabbed) paint(pen, this.grabbed.body, px, {colour, chosen: true, dashed: true});
    if (!this.kind || !this.places.length) return;
    const places = this.hover ? [...this.places, this.hover] : this.places;
    const shape = this.kind === "rectangle" ? bodyOf("rectangle", places, "") : null;
    if (shape) paint(pen, shape, px, {colour});
    else paint(pen, {kind: "ruler", geometry: {coordinates: places}}, px, {colour, chosen: true});
  }
}
