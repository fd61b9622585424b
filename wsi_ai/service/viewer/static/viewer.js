/** The page: one slide, its results, and the tools to look at them. */

import {colourTable, HeatLayer} from "./heat.js";
import {lengthText, MAGNIFICATIONS, roundLength, Ruler, scaleAt} from "./measure.js";
import {RegionList, Regions} from "./regions.js";
import {tileSource} from "./source.js";

const $ = (id) => document.getElementById(id);
const AROUND_REGION = 1.5, LEAST_VIEW_PX = 800;
const LEVELS = {expedite: "EXPEDITE", standard: "STANDARD", not_assessed: "NOT ASSESSED"};
const STEP = 13;  // of 254: a twentieth
const OWN_KEYS = "select, textarea, input:not([type=checkbox], [type=range], [type=radio])";

/** Inside a service the page is of one slide, and the viewer lies elsewhere. */
const {root: ROOT = "", slide: ONLY} = document.documentElement.dataset;

/** What is shown now; another slide is another one, so that no late answer lands on it. */
class Shown {
  constructor(base, info) {
    Object.assign(this, {base, info, result: null, heat: null, regions: null, objects: null});
    this.ruler = new Ruler(info.um_per_px);
    this.unreadable = new Set();
  }
}

let shown = null, viewer = null, list = null, waiting = false;

/** For modules that add to the page: they are called when a slide is open, and to draw. */
export const view = {
  opened: [], drawn: [],
  get shown() { return shown; },
  get osd() { return viewer; },
  place, pointAt, penFor, redraw, notice, goToBox, lengthText,
  endRuler: () => ruler(false),
};

history.replaceState(null, "", location.pathname + location.hash);

/** The unit of what is drawn is a level-0 pixel; ``px`` of them are one on the screen. */
function place() {
  const size = viewer.viewport.getContainerSize();
  const scale = size.x * viewer.viewport.getZoom(true) / shown.info.width;
  const corner = viewer.viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
  const view = {left: -corner.x / scale, top: -corner.y / scale};
  view.right = view.left + size.x / scale;
  view.bottom = view.top + size.y / scale;
  return {size, scale, corner, view, px: 1 / scale};
}

function penFor(canvas, {size, scale, corner}) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(size.x * ratio), height = Math.round(size.y * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const pen = canvas.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * corner.x, ratio * corner.y);
  pen.lineJoin = "round";
  return pen;
}

function draw() {
  waiting = false;
  if (!shown || !viewer?.world.getItemCount()) return;
  const at = place();
  const heat = penFor($("heat"), at);
  if (shown.heat && $("heat-on").checked) {
    heat.save();
    heat.beginPath();
    heat.rect(0, 0, shown.info.width, shown.info.height);
    heat.clip();
    shown.heat.draw(heat, at.view, at.scale * (window.devicePixelRatio || 1));
    heat.restore();
  }
  const marks = penFor($("marks"), at);
  if ($("marks-on").checked) {
    drawObjects(marks, at);
    shown.regions?.draw(marks, at.view, at.px);
  }
  shown.ruler.draw(marks, at.px);
  showScale(at);
  for (const draws of view.drawn) draws(at);
}

function drawObjects(pen, {view, px}) {
  const points = shown.objects;
  if (!points) return;
  const threshold = $("threshold").value / 254, radius = Math.max(px, 7);
  pen.fillStyle = "#d55e00";
  pen.strokeStyle = "#ffffff";
  pen.lineWidth = px;
  pen.beginPath();
  for (let i = 0; i < points.length; i += 3) {
    const x = points[i], y = points[i + 1];
    if (points[i + 2] >= threshold && x >= view.left && x <= view.right && y >= view.top && y <= view.bottom) {
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, 2 * Math.PI);
    }
  }
  if (radius > 3 * px) pen.stroke();
  pen.fill();
}

function redraw() {
  if (!waiting) { waiting = true; requestAnimationFrame(draw); }
}

function showScale({scale}) {
  const um = shown.info.um_per_px;
  $("scale").hidden = !um;
  if (!um) return;
  const length = roundLength(um[0] / scale);
  $("scale-bar").style.width = `${length / um[0] * scale}px`;
  $("scale-text").textContent = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(2))} µm`;
}

/** One sentence for the eye and the screen reader. */
function notice(text) { if ($("notice").textContent !== text) $("notice").textContent = text; }

function countUnreadable() {
  const count = shown.unreadable.size;
  notice(count ? `${count} ${count === 1 ? "tile" : "tiles"} of this slide cannot be read: hatched grey, not empty glass.` : "");
}

async function asked(url) {
  const answer = await fetch(url);
  if (answer.ok) return answer.json();
  throw new Error(answer.status === 403 ? "This page was opened before the viewer was started anew. Open the address that it printed." : await answer.text());
}

function option(value, text) {
  return Object.assign(document.createElement("option"), {value, textContent: text.slice(0, 200)});
}

async function openSlide(id) {
  const base = `${ROOT}slides/${encodeURIComponent(id)}`;
  shown = null;
  viewer?.destroy();
  viewer = null;
  for (const panel of ["heat-panel", "regions-panel"]) $(panel).hidden = true;
  for (const text of ["level", "explanation", "facts"]) $(text).textContent = "";
  $("refused").replaceChildren();
  notice("Opening …");
  try {
    const info = await asked(base);
    notice("");
    shown = new Shown(base, info);
    document.title = `${info.name.slice(0, 80)} – wsi_ai viewer`;
    $("name").textContent = info.name.slice(0, 300);
    openViewer();
    showFacts();
    showResults();
    for (const tell of view.opened) tell(shown);
  } catch (error) {
    if (!ONLY) $("name").textContent = $("slides").selectedOptions[0]?.textContent ?? "Slide";
    notice(`This slide cannot be shown: ${error.message}`);
  }
}

function openViewer() {
  const own = shown;
  $("minimap-place").replaceChildren(Object.assign(document.createElement("div"), {id: "minimap"}));
  viewer = OpenSeadragon({
    element: $("slide"), drawer: "canvas", showNavigationControl: false, showNavigator: true,
    navigatorId: "minimap", navigatorDisplayRegionColor: "#a84300", animationTime: 0.25, blendTime: 0.05,
    maxZoomPixelRatio: 4, minZoomImageRatio: 0.6, visibilityRatio: 0.3, immediateRender: false,
    gestureSettingsMouse: {clickToZoom: false, dblClickToZoom: true}, imageLoaderLimit: 6,
    maxImageCacheCount: 400, tabIndex: 0,
    tileSources: tileSource(shown.base, shown.info, (url) => { own.unreadable.add(url); if (own === shown) countUnreadable(); }),
  });
  viewer.addHandler("update-viewport", redraw);
  viewer.addHandler("open", redraw);
  viewer.addHandler("resize", redraw);
  viewer.addHandler("canvas-key", (event) => {
    const own = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.originalEvent.key);
    if (!own) event.preventDefaultAction = true;
  });
  viewer.addHandler("canvas-press", (event) => { if (shown.ruler.on) { shown.ruler.clear(); shown.ruler.place(pointAt(event.position)); } });
  viewer.addHandler("canvas-drag", (event) => {
    if (!shown.ruler.on) return;
    event.preventDefaultAction = true;
    shown.ruler.to = pointAt(event.position);
    measured();
  });
  viewer.addHandler("canvas-release", () => { if (shown.ruler.on && shown.ruler.from) { shown.ruler.done = true; measured(); } });
  viewer.canvas.setAttribute("role", "application");
  viewer.canvas.setAttribute("aria-label", "Slide: arrow keys move, plus and minus zoom");
  for (const inside of viewer.navigator.element.querySelectorAll("[tabindex]")) inside.tabIndex = -1;
  viewer.navigator.element.tabIndex = -1;
  Object.assign(window, {viewer});
}

function pointAt(position) {
  const at = place();
  return {x: (position.x - at.corner.x) / at.scale, y: (position.y - at.corner.y) / at.scale};
}

function measured() {
  $("ruler-value").textContent = shown.ruler.text;
  redraw();
}

function showFacts() {
  const {info} = shown, um = info.um_per_px;
  const facts = [
    ["Size", `${info.width} × ${info.height} px`],
    ["Scale", um ? `${um[0].toPrecision(4)} µm/px` : "unknown: lengths are in pixels"],
    ["Scanner", info.scanner || info.vendor],
    ["SHA-256", `${info.sha256.slice(0, 16)}…`],
    ["Colour profile", info.icc_profile ? "in the file, not applied" : "none in the file"],
  ];
  $("facts-of-slide").replaceChildren(...facts.flatMap(([name, value]) => [
    Object.assign(document.createElement("dt"), {textContent: name}),
    Object.assign(document.createElement("dd"), {textContent: value}),
  ]));
  $("associated").replaceChildren(...info.associated.map((name) => {
    const button = Object.assign(document.createElement("button"), {type: "button", textContent: `Show ${name} (may name a person)`});
    button.addEventListener("click", () => button.replaceWith(Object.assign(new Image(), {src: `${shown.base}/associated/${name}`, alt: `${name} of the slide`})));
    return button;
  }));
  for (const button of $("magnifications").querySelectorAll("[data-magnification]")) button.disabled = !um;
}

function showResults() {
  const {results} = shown.info, whole = results.map((one, n) => [one, n]).filter(([one]) => !one.refused);
  $("models").replaceChildren(...whole.map(([one, n]) => option(n, one.model)));
  $("models-row").hidden = whole.length < 2;
  $("refused").replaceChildren(...results.filter((one) => one.refused).map((one) => {
    const line = document.createElement("p");
    line.append(Object.assign(document.createElement("b"), {textContent: one.model.slice(0, 120)}), `: not shown: ${one.refused}.`);
    return line;
  }));
  if (!results.length) $("explanation").textContent = "No results for this slide.";
  const first = whole.find(([one]) => one.level === "expedite") ?? whole[0];
  $("models").value = first?.[1];
  showResult(first?.[1] ?? -1);
}

function showResult(number) {
  const result = shown.info.results[number];
  Object.assign(shown, {result, heat: null, regions: null, objects: null});
  list.show(null);
  $("heat-panel").hidden = !result?.maps.length;
  $("regions-panel").hidden = true;
  if (!result) { $("level").textContent = $("facts").textContent = ""; redraw(); return; }
  $("level").textContent = LEVELS[result.level];
  $("level").dataset.level = result.level;
  $("explanation").textContent = result.explanation;
  const score = result.score === null ? "no score" : `score ${result.score.toFixed(3)}, threshold ${result.threshold}`;
  $("facts").textContent = `${result.model}: ${score}; ${(result.coverage * 100).toFixed(1)} % of what was planned was assessed.`;
  $("statement").textContent = result.statement;
  const channels = result.maps.flatMap((map, m) => map.channels.map((name, c) => [m, c, `${name}${map.name === "heatmap" ? "" : `, ${map.name}`}`]));
  $("channels").replaceChildren(...channels.map(([m, c, text]) => option(`${m}/${c}`, text)));
  $("channels-row").hidden = channels.length < 2;
  if (result.maps.length) {
    $("channels").value = `0/${result.maps[0].main}`;
    showChannel();
  }
  loadRegions();
  redraw();
}

function showChannel() {
  const [m, c] = $("channels").value.split("/").map(Number), map = shown.result.maps[m];
  const attention = map.channels[c] === "attention";
  shown.heat = new HeatLayer(`${shown.base}/results/${shown.result.key}/${m}`, map, c, redraw, () => notice("A part of the heatmap cannot be read, or the run was made anew: load the page again."));
  $("heat-note").textContent = attention
    ? "Attention, least to most on this slide: no probability. Without tint: not assessed."
    : "Pale: assessed, below the threshold. Without tint: not assessed.";
  $("threshold").value = attention ? 127 : Math.round(shown.result.threshold * 254);
  thresholdChanged();
}

async function loadRegions() {
  const own = shown, result = own.result, base = `${own.base}/results/${result.key}`;
  const found = result.regions ? await asked(`${base}/regions`).catch(() => null) : null;
  const answer = result.objects ? await fetch(`${base}/objects`).catch(() => null) : null;
  const objects = answer?.ok ? new Float32Array(await answer.arrayBuffer()) : null;
  if (own !== shown || result !== own.result) return;
  own.objects = objects;
  own.regions = found && new Regions(found);
  $("regions-panel").hidden = !found;
  if (found) showRegions(found, result, objects);
  else if (result.regions) notice("The regions of this run cannot be read; the heatmap is whole.");
  redraw();
}

function showRegions(found, result, objects) {
  const count = found.regions.length;
  const shownOf = found.total > count ? `The ${count} with the highest scores of ${found.total} regions` : `${count} ${count === 1 ? "region" : "regions"}`;
  const points = objects ? ` ${objects.length / 3} objects.` : "";
  $("regions-note").textContent = `${shownOf} of the run, at its threshold ${result.threshold}.${points}`;
  for (const name of ["previous", "next"]) $(name).disabled = !count;
  $("regions").hidden = !count;
  list.show(shown.regions);
}

/** Outlines are off in a service until asked for; to go to one asks for them. */
function goTo(number) {
  if (ONLY) $("marks-on").checked = true;
  goToBox(shown.regions.all[number].box);
}

function goToBox(box) {
  const {width} = shown.info;
  const middle = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const sides = [box.right - box.left, box.bottom - box.top].map((side) => Math.max(side * AROUND_REGION, LEAST_VIEW_PX));
  const [x, y, w, h] = [middle[0] - sides[0] / 2, middle[1] - sides[1] / 2, ...sides].map((value) => value / width);
  viewer.viewport.fitBounds(new OpenSeadragon.Rect(x, y, w, h));
  redraw();
}

function magnify(magnification) {
  if (!viewer || !shown?.info.um_per_px) return;
  const px = scaleAt(magnification, shown.info.um_per_px);
  viewer.viewport.zoomTo(shown.info.width / px / viewer.viewport.getContainerSize().x);
}

function thresholdChanged() {
  const code = Number($("threshold").value);
  $("threshold-value").textContent = (code / 254).toFixed(2);
  $("threshold").setAttribute("aria-valuetext", (code / 254).toFixed(2));
  shown?.heat?.setThreshold(code);
  const pen = $("legend-bar").getContext("2d"), picture = new ImageData(254, 12), table = colourTable(code);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[1 + (i % 254)];
  pen.putImageData(picture, 0, 0);
  redraw();
}

function opacityChanged() {
  $("heat").style.opacity = $("opacity").value / 100;
  $("opacity-value").textContent = `${$("opacity").value} %`;
}

function moveSlider(id, by) {
  const slider = $(id);
  slider.value = Number(slider.value) + by;
  slider.dispatchEvent(new Event("input"));
}

function toggle(id) { $(id).checked = !$(id).checked; redraw(); }

function ruler(on) {
  if (!shown) return;
  shown.ruler.on = on;
  if (!on) shown.ruler.clear();
  $("ruler").setAttribute("aria-pressed", String(on));
  $("cross").hidden = !on;
  measured();
}

function placeEnd() {
  const {size} = place();
  shown.ruler.place(pointAt({x: size.x / 2, y: size.y / 2}));
  measured();
}

export const KEYS = {
  n: () => list.step(1), p: () => list.step(-1), h: () => toggle("heat-on"), o: () => toggle("marks-on"),
  "[": () => moveSlider("opacity", -5), "]": () => moveSlider("opacity", 5),
  ",": () => moveSlider("threshold", -STEP), ".": () => moveSlider("threshold", STEP),
  0: () => viewer?.viewport.goHome(), "+": () => viewer?.viewport.zoomBy(1.5), "=": () => viewer?.viewport.zoomBy(1.5),
  "-": () => viewer?.viewport.zoomBy(1 / 1.5), m: () => ruler(!shown?.ruler.on), Escape: () => ruler(false),
  "?": () => { $("keys").open = !$("keys").open; $("keys").scrollIntoView({block: "nearest"}); },
  ...Object.fromEntries(MAGNIFICATIONS.map((value, n) => [n + 1, () => magnify(value)])),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !shown) return;
  if (event.defaultPrevented || event.target.matches(OWN_KEYS) || event.target.closest("dialog")) return;
  if (event.key === " " && shown.ruler.on && !event.target.matches("button, input, summary")) {
    event.preventDefault();
    placeEnd();
  } else if (Object.hasOwn(KEYS, event.key)) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

$("opacity").addEventListener("input", opacityChanged);
$("threshold").addEventListener("input", thresholdChanged);
for (const id of ["heat-on", "marks-on"]) $(id).addEventListener("change", redraw);
$("channels").addEventListener("change", showChannel);
$("models").addEventListener("change", () => showResult(Number($("models").value)));
$("slides").addEventListener("change", () => { location.hash = `slide=${encodeURIComponent($("slides").value)}`; openSlide($("slides").value); });
$("next").addEventListener("click", () => list.step(1));
$("previous").addEventListener("click", () => list.step(-1));
$("ruler").addEventListener("click", () => ruler(!shown?.ruler.on));
for (const [n, value] of MAGNIFICATIONS.entries()) {
  const button = Object.assign(document.createElement("button"), {type: "button", textContent: `${value}×`, title: `key ${n + 1}`});
  button.dataset.magnification = value;
  button.addEventListener("click", () => magnify(value));
  $("magnifications").append(button);
}
const whole = Object.assign(document.createElement("button"), {type: "button", textContent: "Whole", title: "key 0"});
whole.addEventListener("click", () => viewer?.viewport.goHome());
$("magnifications").prepend(whole);

list = new RegionList($("regions"), $("regions-space"), goTo);
opacityChanged();
thresholdChanged();

async function begin() {
  if (ONLY) return openSlide(ONLY);
  const {slides, statement} = await asked("slides");
  $("statement").textContent = statement;
  $("slides").replaceChildren(...slides.map((one) => option(one.id, one.there ? one.name : `${one.name} (file not found)`)));
  $("slides-row").hidden = slides.length < 2;
  const wanted = new URLSearchParams(location.hash.slice(1)).get("slide");
  const id = slides.some((one) => one.id === wanted) ? wanted : (slides.find((one) => one.there) ?? slides[0]).id;
  $("slides").value = id;
  return openSlide(id);
}

begin().catch((error) => notice(error.message));
window.wsiAi = {
  get shown() { return shown; },
  place,
  lengthText,
};
