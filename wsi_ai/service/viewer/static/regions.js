/** Outlines on the slide, and the list of them: only the rows that are seen exist. */

const ROW_PX = 32;
const AHEAD = 6;

function boxOf(ring) {
  const box = {left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity};
  for (let i = 0; i < ring.length; i += 2) {
    box.left = Math.min(box.left, ring[i]);
    box.right = Math.max(box.right, ring[i]);
    box.top = Math.min(box.top, ring[i + 1]);
    box.bottom = Math.max(box.bottom, ring[i + 1]);
  }
  return box;
}

function pathOf(rings) {
  const path = new Path2D();
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      if (i === 0) path.moveTo(ring[0], ring[1]); else path.lineTo(ring[i], ring[i + 1]);
    }
    path.closePath();
  }
  return path;
}

export class Regions {
  constructor(found) {
    this.total = found.total;
    this.all = found.regions.map((one) => ({...one, box: boxOf(one.rings[0])}));
    this.chosen = -1;
  }

  /** ``pen`` has level-0 pixels as its unit, ``px`` of which are one on the screen. */
  draw(pen, view, px) {
    const seen = this.all.filter(({box}) => box.right >= view.left && box.left <= view.right && box.bottom >= view.top && box.top <= view.bottom);
    for (const [colour, width] of [["rgb(255 255 255 / .9)", 4], ["#d55e00", 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width * px;
      for (const one of seen) {
        one.path ??= pathOf(one.rings);
        pen.stroke(one.path);
      }
    }
    const chosen = this.all[this.chosen];
    if (chosen) {
      pen.strokeStyle = "#000000";
      pen.lineWidth = 4 * px;
      pen.stroke(chosen.path ?? pathOf(chosen.rings));
    }
  }
}

export class RegionList {
  /** ``went`` is called with the number of the region that was chosen. */
  constructor(box, space, went) {
    Object.assign(this, {box, space, went, regions: null, rows: new Map()});
    box.addEventListener("scroll", () => this.fill(), {passive: true});
    box.addEventListener("keydown", (event) => this.key(event));
    space.addEventListener("click", (event) => {
      const row = event.target.closest(".region");
      if (row) this.choose(Number(row.dataset.number));
    });
  }

  show(regions) {
    this.regions = regions;
    this.rows.clear();
    this.space.replaceChildren();
    this.space.style.height = `${(regions?.all.length ?? 0) * ROW_PX}px`;
    this.box.scrollTop = 0;
    this.box.removeAttribute("aria-activedescendant");
    this.fill();
  }

  fill() {
    const count = this.regions?.all.length ?? 0;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PX) - AHEAD);
    const last = Math.min(count - 1, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW_PX) + AHEAD);
    for (const [number, row] of this.rows) {
      if (number < first || number > last) { row.remove(); this.rows.delete(number); }
    }
    for (let number = first; number <= last; number += 1) {
      if (!this.rows.has(number)) this.rows.set(number, this.space.appendChild(this.row(number)));
      this.rows.get(number).setAttribute("aria-selected", String(number === this.regions.chosen));
    }
  }

  row(number) {
    const {peak, area_mm2: area} = this.regions.all[number];
    const row = document.createElement("div");
    Object.assign(row, {className: "region", id: `region-${number}`});
    row.dataset.number = number;
    row.setAttribute("role", "option");
    row.setAttribute("aria-posinset", number + 1);
    row.setAttribute("aria-setsize", this.regions.all.length);
    row.style.top = `${number * ROW_PX}px`;
    for (const text of [`${number + 1}`, `peak ${peak.toFixed(2)}`, `${area.toFixed(3)} mm²`]) {
      row.appendChild(document.createElement("span")).textContent = text;
    }
    return row;
  }

  step(by) {
    const count = this.regions?.all.length ?? 0;
    if (count) this.choose((this.regions.chosen + by + count + (this.regions.chosen < 0 && by < 0 ? 1 : 0)) % count);
  }

  choose(number) {
    this.regions.chosen = number;
    const top = number * ROW_PX;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + ROW_PX > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + ROW_PX - this.box.clientHeight;
    this.fill();
    this.box.setAttribute("aria-activedescendant", `region-${number}`);
    this.went(number);
  }

  key(event) {
    const count = this.regions?.all.length ?? 0, at = this.regions?.chosen ?? -1;
    const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: count - 1, PageDown: at + 10, PageUp: at - 10}[event.key];
    if (to === undefined || !count) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose(Math.min(Math.max(to, 0), count - 1));
  }
}
