/** Lengths: scale bar, ruler, magnification.  Without a spacing there are none but pixels. */

const WIDEST_BAR_PX = 180;
const UM_AT_ONE = 10;  // µm a pixel on the screen at 1 x, as objectives are counted

export const MAGNIFICATIONS = [1.25, 2.5, 5, 10, 20, 40];

export function lengthText(um) {
  if (um >= 1000) return `${(um / 1000).toFixed(um >= 10000 ? 1 : 2)} mm`;
  return `${um >= 100 ? um.toFixed(0) : um.toFixed(1)} µm`;
}

/** The longest of 1, 2, 5 times a power of ten that is no wider than the bar may be. */
export function roundLength(umPerPx) {
  const most = WIDEST_BAR_PX * umPerPx;
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((n) => n * power).find((um) => um <= most);
}

/** Level-0 pixels for one on the screen at this magnification. */
export function scaleAt(magnification, umPerPx) {
  return UM_AT_ONE / magnification / ((umPerPx[0] + umPerPx[1]) / 2);
}

export class Ruler {
  constructor(umPerPx) {
    Object.assign(this, {umPerPx, on: false, from: null, to: null});
  }

  clear() { this.from = this.to = null; }

  /** Sets the first end, then the second. */
  place(point) {
    if (!this.from || this.done) { this.from = point; this.to = point; this.done = false; }
    else { this.to = point; this.done = true; }
  }

  get text() {
    if (!this.from || !this.to) return "";
    const dx = this.to.x - this.from.x, dy = this.to.y - this.from.y;
    if (!this.umPerPx) return `${Math.hypot(dx, dy).toFixed(0)} px`;
    return lengthText(Math.hypot(dx * this.umPerPx[0], dy * this.umPerPx[1]));
  }

  draw(pen, px) {
    if (!this.from || !this.to) return;
    for (const [colour, width] of [["#ffffff", 6], ["#000000", 2.5]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width * px;
      pen.beginPath();
      pen.moveTo(this.from.x, this.from.y);
      pen.lineTo(this.to.x, this.to.y);
      pen.stroke();
    }
    pen.font = `600 ${15 * px}px system-ui, "DejaVu Sans", sans-serif`;
    pen.lineWidth = 4 * px;
    pen.strokeStyle = "#ffffff";
    pen.fillStyle = "#000000";
    const at = [this.to.x + 10 * px, this.to.y - 8 * px];
    pen.strokeText(this.text, ...at);
    pen.fillText(this.text, ...at);
  }
}
