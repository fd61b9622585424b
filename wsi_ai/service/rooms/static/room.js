/** A slide with people at it: puts the modules together. */

import {Live, Refused} from "../../static/common/live.js";
import {KEYS, view} from "../viewer/static/viewer.js";
import {Conflict} from "./conflict.js";
import {Draw} from "./draw.js";
import {exchange, Notes} from "./notes.js";
import {Panel} from "./panel.js";
import {COLOURS, People} from "./people.js";
import {Share} from "./share.js";
import {areaPx, boxOf, isHit, label, measured, paint} from "./shapes.js";

const $ = (id) => document.getElementById(id);
const {sid, slide, me, name, trust} = document.documentElement.dataset;
const LATER_MS = 3000, SILENT_MS = 10_000, LOOK_MS = 2000;
const TEXTS = {
  away: "No connection. Changes are kept in this tab and will be sent.",
  polling: "Live view is blocked on this network: notes are exchanged every few seconds, cursors are not shown.",
  refused: "You are signed out, or this slide is no longer open to you. Sign in, or ask for the slide again.",
};

let sha256 = "", refusal = "";
const kept = (what) => `wsi-ai ${what} ${slide} ${me}`;

const live = new Live("../v1/live", {
  greet: () => (sha256 ? [{type: "join", slide: sid, sha256, since: notes.seq}] : []),
  poll: async () => allow((await exchange(notes, `${sid}/notes`, {me, sha256}, Refused)).annotate, false),
  state: () => connection(),
});
const send = (message) => joined() && live.send(message);
const joined = () => live.state === "open" && Boolean(people.you);

const notes = new Notes({
  storage: sessionStorage, key: kept("notes"), send,
  changed: () => { panel?.changed(); conflict?.show(); connection(); },
});
const people = new People({view, send, changed: () => { peopleList(); panel?.changed(); }});
const draw = new Draw({
  view, buttons: [...document.querySelectorAll("#draw button")], hint: $("hint"),
  drawn: (body, again) => panel.open(again
    ? {id: again.id, base: again.base, body: {...body, text: again.text}, fresh: false}
    : {id: crypto.randomUUID(), base: 0, body, fresh: true}),
  reshaped: (id, body, base) => notes.write(id, body, base),
  ended: () => conflict.show(),
});
const panel = new Panel({me: {name, trust}, view, notes, draw, people, storage: sessionStorage, key: kept("draft"), closed: () => conflict.show()});
const conflict = new Conflict({view, notes, busy: () => Boolean(panel.draft || draw.busy)});
new Share(`${sid}/shares`);

function connection() {
  const unsent = notes.unsent - notes.conflicts.length;
  const count = unsent && live.state !== "open" ? ` ${unsent} not sent yet.` : "";
  const text = refusal || TEXTS[live.state] || "";
  const lost = notes.unkept ? " This tab cannot keep them over a reload: its storage is full." : "";
  const shown = (text && text + (live.state === "away" && !refusal ? count : "")) + lost;
  if ($("connection").textContent !== shown) $("connection").textContent = shown;
  $("connection").dataset.state = refusal ? "refused" : live.state;
  if (live.state !== "open" && people.all.size) { people.you = ""; people.gone(); }
}

function allow(annotate, share) {
  draw.allowed = panel.allowed = annotate;
  $("draw").hidden = !annotate;
  $("invite").hidden = !share;
  panel.changed();
}

/** Somebody else has signed in in this browser: nothing is sent under their name. */
function isSamePerson(message) {
  if (message.me === me) return true;
  refusal = "Somebody else has signed in in this browser. Load the page again; what you wrote is kept for you.";
  live.stop();
  connection();
  return false;
}

live.on("joined", (message) => {
  if (!isSamePerson(message)) return;
  refusal = "";
  if (!notes.begin(message.seq) || !notes.absorb(message.ops)) { live.greeted(); return; }
  people.joined(message);
  allow(message.annotate, message.share);
  notes.flush();
  connection();
});
live.on("ops", ({ops}) => {
  if (people.you && !notes.absorb(ops)) live.greeted();
  else notes.flush();
});
live.on("conflict", (message) => notes.conflicted(message));
live.on("came", (message) => people.came(message));
live.on("left", (message) => people.left(message));
live.on("here", (message) => people.here(message));
live.on("follow", (message) => people.followed(message));
live.on("later", ({op_id: id}) => { notes.later(id); setTimeout(() => notes.flush(), LATER_MS); });
live.on("refused", ({of, op_id: id, why}) => {
  if (of === "op") notes.refused(id, why);
  else if (of === "follow") people.notFollowing();
  else if (of === "join" && why === "try again") setTimeout(() => live.greeted(), LATER_MS);
  else if (of === "join") {
    people.you = "";
    people.gone();
    allow(false, false);
    refusal = why.includes("changed") || why.includes("file") ? `Notes are not shown: ${why}.` : TEXTS.refused;
    connection();
  }
});
setInterval(() => { if (joined() && notes.silentMs > SILENT_MS) live.renew(); }, LOOK_MS);
addEventListener("beforeunload", (event) => { if (notes.unsent || panel.draft) event.preventDefault(); });

// -- the slide --

view.opened.push((shown) => {
  sha256 = shown.info.sha256;
  draw.attach(view.osd);
  people.attach(view.osd);
  view.osd.addHandler("canvas-click", choose);
  view.osd.element.addEventListener("pointermove", (event) => {
    if (!draw.busy) return;
    const box = view.osd.element.getBoundingClientRect();
    const {x, y} = view.pointAt({x: event.clientX - box.left, y: event.clientY - box.top});
    draw.hovered([x, y]);
  });
  panel.reopen();
  live.start();
  live.greeted();
});

/** The smallest note under a click; none where there is none. */
function choose(event) {
  if (!event.quick || event.preventDefaultAction || draw.busy || panel.draft || !panel.shown) return;
  const {x, y} = view.pointAt(event.position), {px} = view.place();
  const hit = panel.standing.filter((one) => isHit(one.body, [x, y], px));
  hit.sort((one, other) => areaPx(one.body) - areaPx(other.body));
  panel.choose(hit[0]?.id ?? null);
}

view.drawn.push((at) => {
  const pen = view.penFor($("notes-layer"), at);
  if (panel.shown) {
    for (const note of panel.standing) {
      const chosen = note.id === panel.chosen;
      if (draw.grabbed?.id === note.id || panel.draft?.id === note.id) continue;
      paint(pen, note.body, at.px, {colour: panel.colour(note), chosen, dashed: note.state !== "saved"});
      if (note.body.kind === "ruler") lengthOf(pen, note.body, at.px);
    }
  }
  if (panel.draft) paint(pen, panel.draft.body, at.px, {colour: people.colour, chosen: true, dashed: true});
  draw.paint(pen, at.px, people.colour);
  people.paint(view.penFor($("people-layer"), at), at.px);
  panel.lay(at);
});

function lengthOf(pen, body, px) {
  const {right, top, bottom} = boxOf(body);
  label(pen, measured(body, view.shown.info.um_per_px, view.lengthText), [right, (top + bottom) / 2], px);
}

// -- people --

function peopleList() {
  const leader = people.all.get(people.leader);
  $("people").replaceChildren(...[...people.all.values()].map(chip));
  $("following").hidden = !leader;
  $("following-whom").textContent = leader ? `Following ${leader.name}` : "";
  $("stage").style.setProperty("--leader", leader ? COLOURS[leader.colour] : "transparent");
  $("stage").classList.toggle("follows", Boolean(leader));
}

function chip(person) {
  const item = document.createElement("li"), own = person.id === people.you;
  const element = document.createElement(own ? "span" : "button");
  const dot = document.createElement("span"), name = document.createElement("bdi"), trust = document.createElement("span");
  dot.className = "dot";
  dot.style.background = COLOURS[person.colour];
  name.textContent = own ? `${person.name} (you)` : person.name;
  Object.assign(trust, {className: "trust", textContent: person.trust ?? ""});
  element.append(dot, name, " ", trust);
  const follows = !own && people.you && person.follows === people.you;
  if (follows) element.append(" ", Object.assign(document.createElement("span"), {className: "follows-you", textContent: "follows you"}));
  if (!own) {
    element.type = "button";
    element.title = follows ? "Follows you" : "Follow";
    element.disabled = follows;
    element.setAttribute("aria-pressed", String(person.id === people.leader));
    element.addEventListener("click", () => people.follow(person.id === people.leader ? null : person.id));
  }
  item.append(element);
  return item;
}

$("stop-following").addEventListener("click", () => people.follow(null));

// -- keys --

const escape = KEYS.Escape;
Object.assign(KEYS, {
  t: () => { $("notes-on").checked = !$("notes-on").checked; panel.changed(); },
  f: () => people.next(),
  Escape: () => {
    if (people.leader) people.follow(null);
    else if (panel.chosen || panel.draft) panel.close();
    else escape();
  },
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !view.shown) return;
  if (event.target.matches("select, textarea, input:not([type=checkbox], [type=range])") || event.target.closest("dialog")) return;
  if (event.key === "x") { people.laser(true); event.preventDefault(); }
  else if (draw.key(event)) event.preventDefault();
}, {capture: true});
document.addEventListener("keyup", (event) => { if (event.key === "x") people.laser(false); });
addEventListener("blur", () => people.laser(false));

Object.assign(window, {room: {live, notes, people, panel, draw, conflict, joined}});
