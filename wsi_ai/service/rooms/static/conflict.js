/** Two versions of one note side by side, on the tissue that they are on; a person decides. */

import {boxOf, paint} from "./shapes.js";

const MARGIN = 1.6, LEAST_PX = 200, MINE = "#ffb703", THEIRS = "#4cc9f0";
const $ = (id) => document.getElementById(id);

export class Conflict {
  /** ``busy``: whether a person is in the middle of something, and a dialog would be in the way. */
  constructor({view, notes, busy}) {
    Object.assign(this, {view, notes, busy, op: null});
    for (const choice of ["mine", "theirs", "both"]) {
      $(`keep-${choice}`).addEventListener("click", () => this.keep(choice));
    }
    $("conflict").addEventListener("cancel", (event) => event.preventDefault());
  }

  /** Opens for the first that waits; one after the other. */
  show() {
    const op = this.notes.conflicts[0];
    if (!op || !this.view.shown || this.busy()) return;
    const same = this.op?.op_id === op.op_id && $("conflict").open;
    if (same) return;
    this.op = op;
    const {theirs, body} = op;
    $("conflict-why").textContent = theirs.body === null
      ? `${theirs.name} (${theirs.trust ?? "no trust"}) removed this note while you changed it.`
      : `${theirs.name} (${theirs.trust ?? "no trust"}) changed this note while you did. Nothing is lost: decide which stays.`;
    $("conflict-whose").textContent = `${theirs.name}’s, saved`;
    this.version("mine", body);
    this.version("theirs", theirs.body);
    $("keep-both").hidden = body === null || theirs.body === null;
    this.draw(body, theirs.body);
    if (!$("conflict").open) $("conflict").showModal();
  }

  version(whose, body) {
    const text = $(`conflict-${whose}-text`);
    text.textContent = body === null ? "Removed" : body.text || "No text";
    text.classList.toggle("none", !body?.text);
  }

  /** Both over the same part of the slide, so that they can be compared. */
  async draw(mine, theirs) {
    const own = this.op, boxes = [mine, theirs].filter(Boolean).map(boxOf);
    const box = {
      left: Math.min(...boxes.map((one) => one.left)), top: Math.min(...boxes.map((one) => one.top)),
      right: Math.max(...boxes.map((one) => one.right)), bottom: Math.max(...boxes.map((one) => one.bottom)),
    };
    const canvas = $("conflict-mine"), ratio = canvas.width / canvas.height;
    let height = Math.max((box.bottom - box.top) * MARGIN, (box.right - box.left) * MARGIN / ratio, LEAST_PX);
    const {width: wide, height: high} = this.view.shown.info;
    height = Math.min(height, high, wide / ratio);
    const width = height * ratio;
    const left = Math.max(0, Math.min(wide - width, (box.left + box.right - width) / 2));
    const top = Math.max(0, Math.min(high - height, (box.top + box.bottom - height) / 2));
    const part = [left, top, width, height].map(Math.floor);
    const picture = await this.picture(part, canvas).catch(() => null);
    if (own !== this.op) return;
    this.paint("mine", mine, MINE, picture, part);
    this.paint("theirs", theirs, THEIRS, picture, part);
  }

  async picture([left, top, width, height], canvas) {
    const size = [Math.min(canvas.width, width), Math.min(canvas.height, height)];
    const image = new Image();
    image.src = `${this.view.shown.base}/iiif/${[left, top, width, height]}/${size}/0/default.jpg`;
    await image.decode();
    return image;
  }

  paint(whose, body, colour, picture, [left, top, width]) {
    const canvas = $(`conflict-${whose}`), pen = canvas.getContext("2d"), scale = canvas.width / width;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = "#2a323b";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    if (picture) pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    pen.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    if (body) paint(pen, body, 1 / scale, {colour});
  }

  keep(choice) {
    const {op_id: opId} = this.op;
    this.op = null;
    $("conflict").close();
    this.notes.resolve(opId, choice);
    this.show();
  }
}
