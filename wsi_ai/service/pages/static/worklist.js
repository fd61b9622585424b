/** The worklist as it changes: lines come and go where they belong, and nothing moves under the pointer. */
import {Live, Refused} from "/static/common/live.js";

const MARKED_MS = 10_000, IDLE_MS = 30_000, LEFT_MS = 600, AGES_MS = 30_000, FEWEST = 50, COUNT_MS = 1000;
const table = document.getElementById("lines");
const body = table.tBodies[0];
const [live, band, stale, held, arrived, none, head] =
  ["live", "band", "stale", "held", "arrived", "none", "head"].map((id) => document.getElementById(id));
const acted = new Set();
const waiting = new Map();  // by flag: what came while the pointer was over the table
let seq = Number(table.dataset.seq), over = false, idle = 0, heardAt = new Date();

/** Only what is on the first page may come in: on a later one a line from above is none of it. */
const isFirst = table.dataset.first === "yes", last = table.dataset.last;
const belongs = (key) => isFirst && (!last || key <= last);

function rowOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.querySelector("tr");
}

function put({id, html, key, urgent}) {
  const before = document.getElementById(`f-${id}`);
  const had = before?.contains(document.activeElement);
  const level = before?.dataset.level, following = before?.nextElementSibling;
  if (html === null || (!before && !belongs(key))) {
    before?.remove();
    if (urgent && !before) announce(id, rowOf(html));
    return;
  }
  const row = rowOf(html);
  if (before) before.remove();
  const next = [...body.rows].find((one) => one.dataset.key > key);
  body.insertBefore(row, next ?? null);
  inOwnTime(row);
  const left = row.classList.contains("acknowledged") && following;
  if (had) (left ? following : row).focus({preventScroll: true});
  if (urgent && level !== "expedite") {
    row.classList.add("new");
    setTimeout(() => row.classList.remove("new"), MARKED_MS);
    announce(id, row);
  }
}

/** Above everything, for ten seconds: an urgent line that just came. */
function announce(id, row) {
  const link = document.createElement("a");
  const [trust, accession] = [row.cells[2], row.cells[3]].map((one) => one.textContent.trim());
  link.textContent = `New: expedite, ${accession}, ${trust}`;
  link.href = document.getElementById(`f-${id}`) ? `#f-${id}` : "/?level=expedite&acknowledged=no";
  arrived.append(link);
  setTimeout(() => link.remove(), MARKED_MS);
}

function show() {
  for (const line of waiting.values()) put(line);
  waiting.clear();
  told();
  if (last && body.rows.length < FEWEST) location.reload();  // there are more on the next page
}

/** What they did themselves is seen at once, and goes where it belongs once the pointer is gone. */
function inPlace({id, html}) {
  const before = document.getElementById(`f-${id}`);
  if (!before || html === null) return;
  const row = rowOf(html);
  row.dataset.key = before.dataset.key;
  before.replaceWith(row);
  inOwnTime(row);
}

function told() {
  const urgent = [...waiting.values()].filter((one) => one.urgent).length;
  held.hidden = waiting.size === 0;
  held.textContent = `${waiting.size} new${urgent ? `, ${urgent} to expedite` : ""}: show`;
  none.hidden = body.rows.length > 0;
}

function heardOf(message) {
  seq = Math.max(seq, message.seq);
  for (const line of message.lines) {
    waiting.set(line.id, line);
    if (over && acted.has(line.id)) inPlace(line);
  }
  if (message.lines.length) count();
  if (over) told();
  else show();
}

/** Numbers of lines, once a while after they changed. */
let counting = 0;
function count() {
  counting ||= setTimeout(async () => {
    counting = 0;
    try {
      const answer = await fetch(`/worklist/head${location.search}`);
      if (answer.ok && !head.contains(document.activeElement)) head.innerHTML = await answer.text();
    } catch {
      count();  // there is no connection: the page says so
    }
  }, COUNT_MS);
}

function bandIs({html}) {
  band.innerHTML = html;
  band.hidden = !html;
  inOwnTime(band);
}

/** Too much happened to tell it line by line, or their rights are others now. */
const renewed = () => location.reload();

const WORDS = {
  open: "Live",
  polling: "This network blocks live updates: looked at every 5 s. Who looks at a slide is not shown",
  away: "Not connected",
  refused: "Logged out",
};

function stateIs(state) {
  live.dataset.state = state;
  live.textContent = WORDS[state];
  const lost = state === "away" || state === "refused";
  stale.hidden = !lost;
  if (!lost) return;
  if (state === "refused") renewed();  // what they may not see any more leaves the screen
  stale.replaceChildren(Object.assign(document.createElement("strong"), {
    textContent: `This list is as it was at ${timeOf(heardAt)}: ${state === "away"
      ? "there is no connection to the service." : "log in again."}`,
  }));
}

async function poll() {
  const query = new URLSearchParams(location.search);
  query.set("after", seq);
  const answer = await fetch(`/worklist/changes?${query}`);
  if (answer.status === 401) throw new Refused();
  if (!answer.ok) throw new Error("no answer");
  const found = await answer.json();
  heardAt = new Date();
  for (const message of found.messages) connection.heard(message);
  seq = found.seq;
}

const filters = () => {
  const query = Object.fromEntries(new URLSearchParams(location.search));
  delete query.after;
  return query;
};
const connection = new Live("/v1/live", {
  greet: () => [{
    type: "watch", ...filters(), after: seq, lines: [...body.rows].map((row) => row.dataset.flag),
  }],
  poll,
  state: stateIs,
});
connection.on("lines", heardOf).on("band", bandIs).on("stale", renewed).on("resync", renewed);
connection.on("looking", ({slides}) => {
  for (const [slide, people] of Object.entries(slides)) {
    for (const slot of body.querySelectorAll(`.looking[data-slide="${CSS.escape(slide)}"]`)) {
      slot.textContent = people ? `${people} ${people === 1 ? "person looks" : "people look"}` : "";
    }
  }
});
setInterval(() => { if (connection.state === "open") heardAt = new Date(); }, 1000);

// -- the pointer: while it is over the table nothing comes in, unless nobody is there to move it --

function letIn() {
  over = false;
  show();
}

function moved() {
  over = true;
  clearTimeout(idle);
  idle = setTimeout(letIn, IDLE_MS);
}
table.addEventListener("pointerover", moved);
table.addEventListener("pointermove", moved);
table.addEventListener("pointerleave", () => {
  clearTimeout(idle);
  idle = setTimeout(letIn, LEFT_MS);
});
held.addEventListener("click", show);

// -- keys --

const current = () => document.activeElement?.closest?.("#lines tbody tr");

function go(step) {
  const rows = [...body.rows], at = rows.indexOf(current());
  const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step))];
  next?.focus();
  next?.scrollIntoView({block: "nearest"});
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = current();
  if (event.key === "j") go(1);
  else if (event.key === "k") go(-1);
  else if (event.key === "Enter" && event.target === row) row.querySelector("a.open").click();
  else if (event.key === "a" && row) row.querySelector("form.acknowledge")?.requestSubmit();
});

// -- forms of a line: without leaving the page --

body.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, flag = form.closest("tr").dataset.flag;
  form.querySelector("button").disabled = true;
  acted.add(flag);
  let why = "";
  try {
    const answer = await fetch(form.action, {
      method: "POST", body: new URLSearchParams(new FormData(form)), headers: {accept: "application/json"},
    });
    if (!answer.ok) ({why} = await answer.json());
    await poll();
    if (over && waiting.has(flag)) inPlace(waiting.get(flag));
  } catch {
    why = "not done: there is no connection to the service";
  }
  form.querySelector("button").disabled = false;
  if (why) said(document.getElementById(`f-${flag}`), why);
});

function said(row, why) {
  const line = Object.assign(document.createElement("p"), {className: "again", textContent: why});
  row?.querySelector(".act").append(line);
}

// -- times in the browser's own zone, and ages that go on --

function timeOf(moment) {
  const clock = {hour: "2-digit", minute: "2-digit", hourCycle: "h23"}, now = new Date();
  const day = moment.toDateString() === now.toDateString() ? {} : {day: "2-digit", month: "short"};
  const year = moment.getFullYear() === now.getFullYear() ? {} : {year: "numeric"};
  return moment.toLocaleString([], {...clock, ...day, ...year});
}

function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole % 3600 / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole % 86_400 / 3600)} h`;
}

function inOwnTime(part) {
  for (const time of part.querySelectorAll("time[data-clock]")) {
    const moment = new Date(time.dateTime);
    if (!isNaN(moment)) time.textContent = timeOf(moment);
  }
}

function older() {
  for (const time of body.querySelectorAll("time[data-age]")) {
    const moment = new Date(time.dateTime);
    if (!isNaN(moment)) time.textContent = age((Date.now() - moment) / 1000);
  }
}

inOwnTime(document);
setInterval(older, AGES_MS);
connection.start();
