/** The list of notes, and the card of the one that is chosen. */

import {boxOf, measured, NAMES} from "./shapes.js";

const AROUND = 2.2, LEAST_VIEW_PX = 600, GAP_PX = 18;
const $ = (id) => document.getElementById(id);
const STATE = {
  waiting: "Not sent yet: kept in this tab.", sent: "Being sent …",
  conflict: "Two versions: yours is not saved.", saved: "",
};

export function when(at, now = Date.now()) {
  const date = new Date(at * 1000), today = new Date(now).toDateString() === date.toDateString();
  const time = date.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", hourCycle: "h23"});
  return today ? time : `${date.toLocaleDateString([], {day: "numeric", month: "short", year: "numeric"})}, ${time}`;
}

const who = ({name, trust}) => (trust ? `${name} · ${trust}` : name);

function made(tag, fields = {}, ...children) {
  const element = Object.assign(document.createElement(tag), fields);
  element.append(...children);
  return element;
}

export class Panel {
  /** ``me``: name and trust of this person; ``closed`` is called when nothing is typed any more. */
  constructor({me, view, notes, draw, people, storage, key, closed}) {
    Object.assign(this, {view, notes, draw, people, storage, key, closed, chosen: null, draft: null, allowed: false, me});
    $("card").addEventListener("submit", (event) => { event.preventDefault(); this.save(); });
    $("card-input").addEventListener("input", () => this.keepDraft());
    $("card-edit").addEventListener("click", () => this.edit());
    $("card-again").addEventListener("click", () => this.again());
    $("card-remove").addEventListener("click", () => this.remove());
    $("card-close").addEventListener("click", () => this.close());
    $("card").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.save();
      else if (event.key === "Escape") this.close();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    $("notes-on").addEventListener("change", () => this.changed());
  }

  get shown() { return $("notes-on").checked; }

  get standing() { return this.notes.all.filter((one) => one.body); }

  note() { return this.chosen && this.notes.note(this.chosen); }

  // -- one note --

  /** A note that was drawn and is not written down yet; the draft survives a reload. */
  open(draft) {
    this.chosen = null;
    this.draft = draft;
    this.keepDraft();
    this.changed();
    $("card-input").value = draft.body.text;
    $("card-input").focus();
  }

  choose(id, {go = false} = {}) {
    if (this.draft && !this.leaveDraft()) return;
    this.chosen = id;
    const note = this.note();
    if (go && note?.body) this.goTo(note.body);
    this.changed();
  }

  goTo(body) {
    const box = boxOf(body), middle = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const half = Math.max((box.right - box.left) * AROUND, (box.bottom - box.top) * AROUND, LEAST_VIEW_PX) / 2;
    this.view.goToBox({left: middle[0] - half, top: middle[1] - half, right: middle[0] + half, bottom: middle[1] + half});
  }

  edit() {
    const note = this.note();
    if (note?.body) this.open({id: note.id, base: note.revision, body: note.body, fresh: false});
  }

  again() {
    const note = this.note();
    if (note?.body) this.draw.take(note.body.kind, {id: note.id, base: note.revision, text: note.body.text});
  }

  remove() {
    const note = this.note();
    if (!note) return;
    this.chosen = null;
    if (note.state === "refused") this.notes.discard(note.op.op_id);
    else this.notes.write(note.id, null, note.revision);
  }

  save() {
    if (!this.draft) return;
    const {id, base, body} = this.draft;
    this.endDraft();
    this.chosen = null;
    this.notes.write(id, {...body, text: $("card-input").value.trim()}, base);
    this.view.osd?.canvas.focus();
  }

  close() {
    if (this.draft && !this.leaveDraft()) return;
    this.chosen = null;
    this.changed();
    this.view.osd?.canvas.focus();
  }

  /** Text that was typed is let go only when the person says so. */
  leaveDraft() {
    const {fresh, body} = this.draft, typed = $("card-input").value.trim() !== body.text;
    const laborious = typed || (fresh && body.kind === "polygon");
    if (laborious && !confirm("Leave this note without saving it?")) return false;
    this.endDraft();
    return true;
  }

  endDraft() {
    this.draft = null;
    this.storage.removeItem(this.key);
    setTimeout(() => this.closed());
  }

  keepDraft() {
    if (!this.draft) return;
    const text = document.activeElement === $("card-input") ? $("card-input").value : this.draft.body.text;
    this.storage.setItem(this.key, JSON.stringify({...this.draft, typed: text}));
  }

  /** After a reload. */
  reopen() {
    try {
      const kept = JSON.parse(this.storage.getItem(this.key) ?? "null");
      if (!kept) return;
      this.open(kept);
      $("card-input").value = kept.typed;
      this.keepDraft();
    } catch {
      this.storage.removeItem(this.key);
    }
  }

  // -- what is seen --

  changed() {
    this.list();
    this.card();
    this.draw.chosen = this.draft || !this.chosen ? null : this.grip();
    this.view.redraw();
  }

  grip() {
    const note = this.note();
    return note?.body ? {id: note.id, body: note.body, base: note.revision} : null;
  }

  list() {
    const standing = this.standing, focused = document.activeElement?.closest?.("#notes li")?.dataset.note;
    $("notes-count").textContent = standing.length || "";
    $("no-notes").hidden = standing.length > 0;
    $("notes").replaceChildren(...standing.map((note) => this.row(note)));
    if (focused) $("notes").querySelector(`[data-note="${CSS.escape(focused)}"] button`)?.focus();
    const removed = this.notes.all.filter((one) => !one.body && one.first);
    $("removed").hidden = !removed.length;
    $("removed-count").textContent = removed.length;
    $("removed-notes").replaceChildren(...removed.map((note) => this.removedRow(note)));
  }

  row(note) {
    const {body, state} = note;
    const dot = made("span", {className: "dot"});
    dot.style.background = this.colour(note);
    const text = made("span", {className: body.text ? "text" : "text none", textContent: body.text || NAMES[body.kind]});
    const button = made("button", {type: "button"}, dot, text, made("span", {className: "by", textContent: this.author(note)}));
    if (state !== "saved") button.append(made("span", {className: "state", textContent: state === "refused" ? `Not taken: ${note.op.why}` : STATE[state]}));
    if (note.id === this.chosen) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => this.choose(note.id, {go: true}));
    const item = made("li", {}, button);
    item.dataset.note = note.id;
    item.dataset.state = state;
    return item;
  }

  /** Beside the words stands who wrote them: whoever changed a note last, and then who began it. */
  author({first, last, state}) {
    if (!first) return who(this.me);
    if (state !== "saved") return `${who(this.me)}: a change of the note by ${first.name}`;
    if (last === first) return `${who(first)} · ${when(first.at)}`;
    if (last.by === first.by) return `${who(first)} · ${when(first.at)}, changed ${when(last.at)}`;
    return `${who(last)} · ${when(last.at)}, begun by ${who(first)} · ${when(first.at)}`;
  }

  /** The log keeps what it held before: that can be put back. */
  removedRow(note) {
    const {held, last, revision} = note;
    const text = held.text || NAMES[held.kind];
    const by = last.body === null ? `removed by ${who(last)}, ${when(last.at)}` : "being removed …";
    const back = made("button", {type: "button", textContent: "Put back", disabled: !this.allowed || last.body !== null});
    back.addEventListener("click", () => this.notes.write(note.id, held, revision));
    return made("li", {}, made("span", {className: "text", textContent: text}), made("span", {className: "by", textContent: by}), back);
  }

  colour({last, state}) {
    return last && state === "saved" ? this.people.colourBy(last.by) : this.people.colour;
  }

  card() {
    const note = this.draft ? {body: this.draft.body, state: "draft"} : this.note();
    $("card").hidden = !note?.body;
    if (!note?.body) return;
    const editing = Boolean(this.draft), kind = NAMES[note.body.kind];
    $("card-title").textContent = editing ? (this.draft.fresh ? `New note: ${kind.toLowerCase()}` : "Edit note") : who(note.state === "saved" ? note.last : this.me);
    $("card-measure").textContent = [kind, measured(note.body, this.view.shown?.info.um_per_px, this.view.lengthText)].filter(Boolean).join(", ");
    $("card-text").textContent = note.body.text || "No text.";
    $("card-text").hidden = editing;
    for (const id of ["card-label", "card-input", "card-save"]) $(id).hidden = !editing;
    for (const id of ["card-edit", "card-again"]) $(id).hidden = editing || !this.allowed || note.state === "refused";
    $("card-remove").hidden = editing || !this.allowed;
    $("card-state").textContent = editing ? "" : this.state(note);
  }

  state(note) {
    if (note.state === "refused") return `Not taken: ${note.op.why}`;
    if (note.state !== "saved") return STATE[note.state];
    const {first, last} = note;
    return `Saved ${when(last.at)}` + (last.by === first.by ? "" : `, begun by ${who(first)} ${when(first.at)}`);
  }

  /** The card beside its note, inside the stage. */
  lay({size, scale, corner}) {
    const body = this.draft?.body ?? this.note()?.body, card = $("card");
    if (!body || card.hidden) return;
    const box = boxOf(body), width = card.offsetWidth, height = card.offsetHeight;
    const left = box.left * scale + corner.x, right = box.right * scale + corner.x;
    const middle = (box.top + box.bottom) / 2 * scale + corner.y;
    const x = right + GAP_PX + width < size.x ? right + GAP_PX : left - GAP_PX - width;
    card.style.left = `${Math.max(8, Math.min(size.x - width - 8, x))}px`;
    card.style.top = `${Math.max(60, Math.min(size.y - height - 8, middle - height / 2))}px`;
  }

}
