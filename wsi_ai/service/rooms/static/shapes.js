/** Shapes of notes in level-0 pixels: drawn, hit, measured.  ``px`` of them are one on the screen. */

const CASING = "rgb(12 16 20 / .75)";
const POINT_PX = 8, HANDLE_PX = 5, NEAR_PX = 10;

export const NAMES = {point: "Point", rectangle: "Rectangle", polygon: "Polygon", ruler: "Length"};

/** The corners, without the one that closes a ring. */
export function cornersOf({kind, geometry: {coordinates}}) {
  if (kind === "point") return [coordinates];
  return kind === "ruler" ? coordinates : coordinates[0].slice(0, -1);
}

const tenth = (place) => place.map((value) => Math.round(value * 10) / 10);

/** ``null`` where the corners make no such shape. */
export function bodyOf(kind, corners, text) {
  const places = corners.map(tenth);
  const distinct = new Set(places.map(String)).size;
  let geometry = null;
  if (kind === "point" && distinct === 1) geometry = {type: "Point", coordinates: places[0]};
  if (kind === "ruler" && distinct === 2) geometry = {type: "LineString", coordinates: places.slice(0, 2)};
  if (kind === "rectangle" && distinct >= 2) {
    const ring = rectangle(...opposite(places));
    if (ring[0][0] !== ring[2][0] && ring[0][1] !== ring[2][1]) geometry = {type: "Polygon", coordinates: [[...ring, ring[0]]]};
  }
  if (kind === "polygon" && distinct >= 3) geometry = {type: "Polygon", coordinates: [[...places, places[0]]]};
  return geometry && {kind, geometry, text};
}

const opposite = (places) => (places.length > 2 ? [places[0], places[2]] : places);
const rectangle = ([x0, y0], [x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];

/** With one corner elsewhere. */
export function moved(body, number, place) {
  const corners = cornersOf(body).map((one) => [...one]);
  if (body.kind === "rectangle") return bodyOf("rectangle", [corners[(number + 2) % 4], place], body.text);
  corners[number] = place;
  return bodyOf(body.kind, corners, body.text);
}

export function boxOf(body) {
  const corners = cornersOf(body), xs = corners.map(([x]) => x), ys = corners.map(([, y]) => y);
  return {left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys)};
}

function trace(pen, kind, corners, px) {
  pen.beginPath();
  if (kind === "point") pen.arc(...corners[0], POINT_PX * px, 0, 2 * Math.PI);
  else {
    corners.forEach((place, n) => (n ? pen.lineTo(...place) : pen.moveTo(...place)));
    if (kind !== "ruler") pen.closePath();
  }
}

export function paint(pen, body, px, {colour, chosen = false, dashed = false, open = false}) {
  const corners = cornersOf(body), kind = open && body.kind === "polygon" ? "ruler" : body.kind;
  pen.lineJoin = pen.lineCap = "round";
  trace(pen, kind, corners, px);
  if (kind === "point" || (chosen && kind !== "ruler")) {  // a tint would change the stain's colours
    pen.fillStyle = colour;
    pen.globalAlpha = kind === "point" ? 0.5 : 0.12;
    pen.fill();
    pen.globalAlpha = 1;
  }
  for (const [style, width] of [[CASING, chosen ? 7 : 5], [colour, chosen ? 3.5 : 2.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = width * px;
    pen.setLineDash(dashed && style === colour ? [7 * px, 6 * px] : []);
    pen.stroke();
  }
  pen.setLineDash([]);
  if (chosen) handles(pen, corners, px, colour);
}

function handles(pen, corners, px, colour) {
  for (const [x, y] of corners) {
    pen.fillStyle = "#ffffff";
    pen.strokeStyle = colour;
    pen.lineWidth = 2 * px;
    pen.beginPath();
    pen.arc(x, y, HANDLE_PX * px, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }
}

/** Text beside a place, legible on any tissue. */
export function label(pen, text, [x, y], px) {
  pen.font = `600 ${13 * px}px system-ui, "DejaVu Sans", sans-serif`;
  pen.lineWidth = 4 * px;
  pen.strokeStyle = CASING;
  pen.fillStyle = "#ffffff";
  pen.strokeText(text, x + 12 * px, y - 8 * px);
  pen.fillText(text, x + 12 * px, y - 8 * px);
}

function toSegment([x, y], [x0, y0], [x1, y1]) {
  const dx = x1 - x0, dy = y1 - y0, whole = dx * dx + dy * dy;
  const at = whole ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / whole)) : 0;
  return Math.hypot(x - x0 - at * dx, y - y0 - at * dy);
}

function isInside([x, y], corners) {
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i, i += 1) {
    const [xi, yi] = corners[i], [xj, yj] = corners[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** Whether a click there means it. */
export function isHit(body, place, px) {
  const corners = cornersOf(body), near = NEAR_PX * px;
  if (body.kind === "point") return Math.hypot(place[0] - corners[0][0], place[1] - corners[0][1]) <= near + POINT_PX * px / 2;
  const closed = body.kind === "ruler" ? corners : [...corners, corners[0]];
  const onLine = closed.slice(1).some((to, n) => toSegment(place, closed[n], to) <= near);
  return onLine || (body.kind !== "ruler" && isInside(place, corners));
}

export function handleAt(body, place, px) {
  return cornersOf(body).findIndex(([x, y]) => Math.hypot(place[0] - x, place[1] - y) <= NEAR_PX * px);
}

export function areaPx(body) {
  const corners = cornersOf(body);
  const twice = corners.reduce((sum, [x, y], n) => {
    const [x1, y1] = corners[(n + 1) % corners.length];
    return sum + x * y1 - x1 * y;
  }, 0);
  return Math.abs(twice) / 2;
}

/** Length or area in words; without a spacing, in pixels. */
export function measured(body, umPerPx, lengthText) {
  if (body.kind === "point") return "";
  const [across, down] = umPerPx ?? [1, 1];
  if (body.kind === "ruler") {
    const [[x0, y0], [x1, y1]] = cornersOf(body);
    const length = Math.hypot((x1 - x0) * across, (y1 - y0) * down);
    return umPerPx ? lengthText(length) : `${length.toFixed(0)} px`;
  }
  const area = areaPx(body) * across * down;
  if (!umPerPx) return `${area.toFixed(0)} px²`;
  return area >= 1e4 ? `${Number((area / 1e6).toPrecision(3))} mm²` : `${area.toFixed(0)} µm²`;
}
